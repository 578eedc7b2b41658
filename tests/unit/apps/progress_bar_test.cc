#include "progress_bar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

namespace foretoken {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ProgressBarTest : public testing::Test {
 protected:
  std::string Printed() {
    std::string text(static_cast<size_t>(std::ftell(out_.get())), '\0');
    std::rewind(out_.get());
    EXPECT_EQ(std::fread(text.data(), 1, text.size(), out_.get()), text.size());
    return text;
  }

  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out_{std::tmpfile(), std::fclose};
  const ProgressBar::Clock::time_point start_ = ProgressBar::Clock::now();
};

TEST_F(ProgressBarTest, ShowsShareRateAndTimeLeft) {
  ProgressBar bar("model", out_.get(), true);
  EXPECT_EQ(bar.Text(0, 100'000'000, 80),
            "model   0 % [" + std::string(30, '.') + "]  0 B of 100.0 MB");
  // Bytes from an earlier attempt are no speed.
  bar.Update(40'000'000, 100'000'000, start_);
  bar.Update(50'000'000, 100'000'000, start_ + seconds(2));
  const std::string text = bar.Text(50'000'000, 100'000'000, 100);
  EXPECT_EQ(text,
            "model  50 % [###############...............]  50.0 MB of 100.0 MB  5.0 MB/s  "
            "10 s left");
  EXPECT_EQ(bar.Text(50'000'000, 100'000'000, 60),
            "model  50 %  50.0 MB of 100.0 MB  5.0 MB/s  10 s left");
  EXPECT_EQ(bar.Text(50'000'000, 0, 80), "model  50.0 MB  5.0 MB/s");
}

TEST_F(ProgressBarTest, TheRateIsThatOfTheLastSeconds) {
  ProgressBar bar("model", out_.get(), true);
  for (int second = 0; second <= 40; ++second) {
    const uint64_t done =
        second <= 15 ? second * 9'000'000 : 135'000'000 + (second - 15) * 1'000'000;
    bar.Update(done, 1'000'000'000, start_ + seconds(second));
  }
  EXPECT_NE(bar.Text(160'000'000, 1'000'000'000, 120).find("  1.0 MB/s  "), std::string::npos);
}

TEST_F(ProgressBarTest, StartingAgainForgetsTheRate) {
  ProgressBar bar("model", out_.get(), true);
  bar.Update(0, 100'000'000, start_);
  bar.Update(50'000'000, 100'000'000, start_ + seconds(2));
  bar.Update(1'000, 100'000'000, start_ + seconds(3));
  EXPECT_EQ(bar.Text(1'000, 100'000'000, 40).find("/s"), std::string::npos);
}

TEST_F(ProgressBarTest, RedrawsOneLineOnATerminal) {
  {
    ProgressBar bar("model", out_.get(), true);
    bar.Update(0, 1000, start_);
    bar.Update(1, 1000, start_ + milliseconds(10));  // too soon
    bar.Update(500, 1000, start_ + milliseconds(150));
    bar.Line("a notice");
  }
  const std::string text = Printed();
  EXPECT_EQ(text.find('\n'), text.rfind('\n')) << text;
  EXPECT_NE(text.find("\r\x1b[Ka notice\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\x1b[Kmodel   0 %"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\x1b[Kmodel  50 %"), std::string::npos) << text;
  EXPECT_EQ(text.find("1 B"), std::string::npos) << text;
}

TEST_F(ProgressBarTest, PrintsALineEveryFewSecondsElsewhere) {
  {
    ProgressBar bar("model", out_.get(), false);
    for (int tenth = 0; tenth <= 110; ++tenth) {
      bar.Update(static_cast<uint64_t>(tenth) * 1000, 1'000'000,
                 start_ + milliseconds(100 * tenth));
    }
  }
  EXPECT_EQ(Printed(),
            "model   5 %  50.0 kB of 1.0 MB  10.0 kB/s  1 min 35 s left\n"
            "model  10 %  100.0 kB of 1.0 MB  10.0 kB/s  1 min 30 s left\n");
}

TEST(FormatDurationTest, RoundsUp) {
  EXPECT_EQ(FormatDuration(0), "0 s");
  EXPECT_EQ(FormatDuration(3.2), "4 s");
  EXPECT_EQ(FormatDuration(200), "3 min 20 s");
  EXPECT_EQ(FormatDuration(7500), "2 h 5 min");
}

}  // namespace
}  // namespace foretoken
