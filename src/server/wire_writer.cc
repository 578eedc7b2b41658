#include "server/wire_writer.h"

#include "server/wire_text.h"

namespace foretoken {

WireWriter& WireWriter::Key(std::string_view name) {
  Separate();
  AppendJsonString(out_, name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

WireWriter& WireWriter::String(std::string_view value) {
  Separate();
  AppendJsonString(out_, value);
  return *this;
}

WireWriter& WireWriter::Integer(int64_t value) {
  Separate();
  AppendJsonNumber(out_, value);
  return *this;
}

WireWriter& WireWriter::Number(double value) {
  Separate();
  AppendJsonNumber(out_, value);
  return *this;
}

WireWriter& WireWriter::Float(float value) {
  Separate();
  AppendJsonNumber(out_, value);
  return *this;
}

WireWriter& WireWriter::Raw(std::string_view json) {
  Separate();
  out_ += json;
  return *this;
}

WireWriter& WireWriter::Open(char bracket) {
  Separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

WireWriter& WireWriter::Close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

void WireWriter::Separate() {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
}

}  // namespace foretoken
