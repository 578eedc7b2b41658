#ifndef FORETOKEN_SERVER_WIRE_WRITER_H_
#define FORETOKEN_SERVER_WIRE_WRITER_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace foretoken {

// Appends JSON to a string, value after value, and puts the commas between them. That brackets and
// keys match is the caller's care. `out` must outlive it; one thread.
class WireWriter {
 public:
  explicit WireWriter(std::string& out) : out_(out) {}

  WireWriter& BeginObject() { return Open('{'); }
  WireWriter& EndObject() { return Close('}'); }
  WireWriter& BeginArray() { return Open('['); }
  WireWriter& EndArray() { return Close(']'); }
  WireWriter& Key(std::string_view name);
  WireWriter& String(std::string_view value);  // bytes that are no UTF-8 become U+FFFD
  WireWriter& Integer(int64_t value);
  WireWriter& Number(double value);
  WireWriter& Float(float value);  // -infinity is -9999.0
  WireWriter& Bool(bool value) { return Raw(value ? "true" : "false"); }
  WireWriter& Null() { return Raw("null"); }
  // JSON that is there already.
  WireWriter& Raw(std::string_view json);

 private:
  WireWriter& Open(char bracket);
  WireWriter& Close(char bracket);
  void Separate();

  std::string& out_;
  bool needs_comma_ = false;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_WIRE_WRITER_H_
