#ifndef FORETOKEN_UNIT_FETCH_TEMPORARY_DIRECTORY_H_
#define FORETOKEN_UNIT_FETCH_TEMPORARY_DIRECTORY_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace foretoken {

// A directory of its own for one test, gone with it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "foretoken_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& file) const { return path_ + "/" + file; }
  bool Has(const std::string& file) const { return std::filesystem::exists(Path(file)); }
  std::string Read(const std::string& file) const {
    std::ifstream in(Path(file), std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  void Write(const std::string& file, std::string_view text) const {
    std::ofstream(Path(file), std::ios::binary) << text;
  }

 private:
  std::string path_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_FETCH_TEMPORARY_DIRECTORY_H_
