#ifndef FORETOKEN_UNIT_FETCH_TEST_WHEEL_H_
#define FORETOKEN_UNIT_FETCH_TEST_WHEEL_H_

#include <gtest/gtest.h>
#include <zip.h>

#include <string>

namespace foretoken {

// Writes a wheel with an ordinary file and the compressed file `member`.
inline void WriteWheel(const std::string& path, const std::string& member,
                       const std::string& content) {
  int error = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &error);
  ASSERT_NE(archive, nullptr);
  const std::string module = "\"\"\"A package.\"\"\"\n";
  zip_file_add(archive, "package/__init__.py",
               zip_source_buffer(archive, module.data(), module.size(), 0), 0);
  zip_file_add(archive, member.c_str(),
               zip_source_buffer(archive, content.data(), content.size(), 0), 0);
  ASSERT_EQ(zip_close(archive), 0);
}

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_FETCH_TEST_WHEEL_H_
