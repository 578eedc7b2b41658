#ifndef FORETOKEN_TESTING_TEMP_DIRECTORY_H_
#define FORETOKEN_TESTING_TEMP_DIRECTORY_H_

#include <string>
#include <string_view>

namespace foretoken::testing {

// A directory of its own under $TMPDIR or /tmp, removed with all that is in it.
// One thread at a time. Without room or rights its path is empty and what uses it fails.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  const std::string& path() const { return path_; }
  // Creates or replaces a file in it and returns the file's path.
  std::string Write(const std::string& name, std::string_view bytes) const;

 private:
  std::string path_;
};

}  // namespace foretoken::testing

#endif  // FORETOKEN_TESTING_TEMP_DIRECTORY_H_
