#include "fetch/wheel_member.h"

#include <fmt/format.h>
#include <zip.h>

#include <filesystem>
#include <memory>
#include <vector>

#include "base/macros.h"

namespace foretoken {
namespace {

struct ZipFree {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
};

std::string OpenError(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

}  // namespace

Status ReadWheelMember(const std::string& path, const std::string& member, uint64_t bytes,
                       const std::function<Status(std::span<const char>)>& append) {
  const std::string wheel = std::filesystem::path(path).filename().string();
  int code = 0;
  const std::unique_ptr<zip_t, ZipFree> archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (!archive) return DataLossError(fmt::format("{}: {}", wheel, OpenError(code)));
  const zip_int64_t index = zip_name_locate(archive.get(), member.c_str(), 0);
  if (index < 0) return DataLossError(fmt::format("{} has no file {}", wheel, member));
  zip_stat_t facts;
  if (zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), 0, &facts) != 0 ||
      (facts.valid & ZIP_STAT_SIZE) == 0) {
    return DataLossError(fmt::format("{}: {}", wheel, zip_strerror(archive.get())));
  }
  if (facts.size != bytes) {
    return DataLossError(
        fmt::format("{} in {} has {} bytes, not {}", member, wheel, facts.size, bytes));
  }
  const std::unique_ptr<zip_file_t, ZipFree> file(
      zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(index), 0));
  if (!file) return DataLossError(fmt::format("{}: {}", wheel, zip_strerror(archive.get())));
  std::vector<char> buffer(size_t{1} << 18);
  while (true) {
    const zip_int64_t got = zip_fread(file.get(), buffer.data(), buffer.size());
    if (got < 0) {
      return DataLossError(
          fmt::format("{} in {}: {}", member, wheel, zip_file_strerror(file.get())));
    }
    if (got == 0) return OkStatus();
    FORETOKEN_RETURN_IF_ERROR(append({buffer.data(), static_cast<size_t>(got)}));
  }
}

}  // namespace foretoken
