#include "server/config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace foretoken {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConfigReaderTest : public testing::Test {
 protected:
  // What is wrong with a mapping of one field that `read` reads.
  template <typename Read>
  std::vector<std::string> Problems(const std::string& yaml, Read read) {
    ConfigProblems problems("f");
    {
      ConfigReader reader(YAML::Load(yaml), "", problems);
      read(reader);
    }
    return problems.Sorted();
  }
};

TEST_F(ConfigReaderTest, DurationsNeedAUnit) {
  int64_t ms = 7;
  const auto read = [&](ConfigReader& reader) { reader.ReadDuration("t", 0, 86'400'000, ms); };
  EXPECT_THAT(Problems("t: 250ms", read), IsEmpty());
  EXPECT_EQ(ms, 250);
  EXPECT_THAT(Problems("t: 2h", read), IsEmpty());
  EXPECT_EQ(ms, 7'200'000);
  for (const char* wrong :
       {"t: 5", "t: -5s", "t: 5sec", "t: 2d", "t: s", "t: 99999999999999999h"}) {
    EXPECT_THAT(Problems(wrong, read), ElementsAre(HasSubstr("a time from 0ms to 1d"))) << wrong;
  }
  EXPECT_EQ(ms, 7'200'000);  // a wrong field changes nothing
}

TEST_F(ConfigReaderTest, SizesMayHaveAUnit) {
  int64_t bytes = 0;
  const auto read = [&](ConfigReader& reader) { reader.ReadBytes("b", 1, 1 << 20, bytes); };
  EXPECT_THAT(Problems("b: 512", read), IsEmpty());
  EXPECT_EQ(bytes, 512);
  EXPECT_THAT(Problems("b: 64KiB", read), IsEmpty());
  EXPECT_EQ(bytes, 65536);
  EXPECT_THAT(Problems("b: 2MiB", read), ElementsAre(HasSubstr("from 1 to 1MiB")));
}

TEST_F(ConfigReaderTest, NumbersAreWhole) {
  double number = 0;
  const auto read = [&](ConfigReader& reader) { reader.ReadNumber("n", 0, 10, number); };
  EXPECT_THAT(Problems("n: 2.5", read), IsEmpty());
  EXPECT_EQ(number, 2.5);
  for (const char* wrong : {"n: nan", "n: .inf", "n: 2.5x", "n: 11", "n: [1]", "n:"}) {
    EXPECT_THAT(Problems(wrong, read), ElementsAre(HasSubstr("a number from 0 to 10"))) << wrong;
  }
}

TEST_F(ConfigReaderTest, BooleansAreTrueOrFalse) {
  bool value = false;
  const auto read = [&](ConfigReader& reader) { reader.Read("x", value); };
  EXPECT_THAT(Problems("x: true", read), IsEmpty());
  EXPECT_TRUE(value);
  EXPECT_THAT(Problems("x: yes", read), ElementsAre("f:1: x: is 'yes'; true or false is wanted"));
}

TEST_F(ConfigReaderTest, UnknownFieldsAreProblemsWithAGuess) {
  std::string text;
  const auto read = [&](ConfigReader& reader) { reader.Read("name", text); };
  EXPECT_THAT(Problems("nmae: a", read),
              ElementsAre("f:1: nmae: is not known; did you mean 'name'?"));
  EXPECT_THAT(Problems("\ncolour: a", read),
              ElementsAre("f:2: colour: is not known; known here: name"));
}

TEST_F(ConfigReaderTest, ValuesAsPeopleReadThem) {
  EXPECT_EQ(BytesText(0), "0");
  EXPECT_EQ(BytesText(1536), "1536");
  EXPECT_EQ(BytesText(3 << 20), "3MiB");
  EXPECT_EQ(DurationText(0), "0ms");
  EXPECT_EQ(DurationText(90'000), "90s");
  EXPECT_EQ(DurationText(120'000), "2m");
}

}  // namespace
}  // namespace foretoken
