#ifndef FORETOKEN_UNIT_FETCH_FAKE_QUANTISER_H_
#define FORETOKEN_UNIT_FETCH_FAKE_QUANTISER_H_

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <string>

#include "testing/gguf_writer.h"
#include "unit/fetch/temporary_directory.h"

namespace foretoken {

// A model of one matrix and its forms.
inline testing::GgufWriter QuantisableModel(uint32_t type = 0, uint32_t file_type = 0) {
  testing::GgufWriter writer = testing::SmallGguf();
  writer.SetUint32("general.file_type", file_type);
  const size_t bytes = type == 0 ? 64 * 4 : 64 / 32 * 18;  // F32 or Q4_0
  writer.AddTensor("output.weight", type, {64, 1}, std::string(bytes, '\0'));
  return writer;
}
inline std::string UnquantisedBytes() {
  return QuantisableModel().Bytes();
}
inline std::string QuantisedBytes() {
  return QuantisableModel(2, 2).Bytes();
}

// A shell script stands in for the probe: what it is tried on runs, and it quantises by writing
// what it was given. It notes its arguments.
class FakeQuantiser {
 public:
  FakeQuantiser() {
    setenv("XDG_CACHE_HOME", directory_.Path("cache").c_str(), 1);
    unsetenv("FORETOKEN_PROBE");
    directory_.Write("result", QuantisedBytes());
    Make("cp " + directory_.Path("result") + " \"$3\"");
  }

  // `script` has the output's path as $3.
  void Make(const std::string& script) {
    directory_.Write("probe", "#!/bin/sh\necho \"$@\" >> " + directory_.Path("runs") +
                                  "\nif [ $# = 1 ]; then " + trial_ +
                                  "; exit 0; fi\n"
                                  "echo bytes 1000 >&2\necho tensor token_embd.weight >&2\n"
                                  "echo tensor output.weight >&2\n" +
                                  script + "\n");
    EXPECT_EQ(chmod(probe().c_str(), 0700), 0);
  }
  // What is tried ends so from the next Make on.
  void set_trial(const std::string& script) { trial_ = script; }
  void set_result(const std::string& bytes) { directory_.Write("result", bytes); }
  std::string probe() const { return directory_.Path("probe"); }
  std::string runs() const { return directory_.Read("runs"); }

 private:
  const TemporaryDirectory directory_;
  std::string trial_ = ":";
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_FETCH_FAKE_QUANTISER_H_
