#ifndef FORETOKEN_SERVER_CONFIG_READER_H_
#define FORETOKEN_SERVER_CONFIG_READER_H_

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>

namespace foretoken {

// What is wrong with a configuration file: one line of text for each mistake, all of them, in the
// order of the file ("foretoken.yaml:12: limits.connections: ...").
class ConfigProblems {
 public:
  explicit ConfigProblems(std::string file_name) : file_name_(std::move(file_name)) {}

  void Add(const YAML::Mark& mark, std::string_view path, std::string_view message);
  bool empty() const { return lines_.empty(); }
  // By line.
  std::vector<std::string> Sorted() const;

 private:
  struct Line {
    int number;
    std::string text;
  };
  const std::string file_name_;
  std::vector<Line> lines_;
};

// A mapping of a configuration file, read field by field. A field that is absent leaves the value
// as it is; one that is wrong does too, and is a problem. Fields that nobody asked for by the end
// are problems as well.
// One thread. The problems must outlive it. `path` is the mapping's own ("" for the file's).
class ConfigReader {
 public:
  ConfigReader(const YAML::Node& node, std::string path, ConfigProblems& problems);
  ~ConfigReader();
  ConfigReader(const ConfigReader&) = delete;
  ConfigReader& operator=(const ConfigReader&) = delete;

  void Read(const char* key, std::string& value);
  void Read(const char* key, bool& value);
  void Read(const char* key, std::vector<std::string>& value);
  void ReadInteger(const char* key, int64_t least, int64_t most, int64_t& value);
  void ReadInteger(const char* key, int32_t least, int32_t most, int32_t& value);
  void ReadNumber(const char* key, double least, double most, double& value);
  // "250ms", "5s", "10m", "2h" or "1d", in milliseconds.
  void ReadDuration(const char* key, int64_t least_ms, int64_t most_ms, int64_t& value_ms);
  // "65536", "64KiB", "16MiB" or "8GiB", in bytes.
  void ReadBytes(const char* key, int64_t least, int64_t most, int64_t& value);
  // One of `names`; the value is its index.
  void ReadChoice(const char* key, std::initializer_list<const char*> names, int& value);

  // The node of a nested mapping or list; undefined when absent. `path` becomes the field's.
  YAML::Node Child(const char* key, std::string& path);
  bool Has(const char* key) const;
  // A problem with a field, or with the mapping itself for an empty key.
  void Problem(const char* key, std::string_view message);

 private:
  YAML::Node Take(const char* key);
  std::string PathOf(std::string_view key) const;

  const YAML::Node node_;
  const std::string path_;
  ConfigProblems& problems_;
  std::vector<std::string> known_;
};

// Bytes and durations as people read them, for messages: "16MiB", "5s".
std::string BytesText(int64_t bytes);
std::string DurationText(int64_t ms);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_CONFIG_READER_H_
