#include "server/io_threads.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <latch>
#include <stdexcept>

namespace foretoken {
namespace {

TEST(IoThreadsTest, RunsWhatIsPostedOnAsManyThreadsAsAsked) {
  const std::unique_ptr<IoThreads> io = std::move(IoThreads::Start(2)).value();
  // Each waits for the other: with one thread this would not end.
  std::latch both(2);
  std::latch done(2);
  for (int i = 0; i < 2; ++i) {
    asio::post(io->executor(), [&both, &done] {
      both.arrive_and_wait();
      done.count_down();
    });
  }
  done.wait();
}

TEST(IoThreadsTest, AnExceptionDoesNotEndAThread) {
  const std::unique_ptr<IoThreads> io = std::move(IoThreads::Start(1)).value();
  asio::post(io->executor(), [] { throw std::runtime_error("unexpected"); });
  std::latch done(1);
  asio::post(io->executor(), [&done] { done.count_down(); });
  done.wait();
}

TEST(IoThreadsTest, NoThreadsAreRefused) {
  EXPECT_EQ(IoThreads::Start(0).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace foretoken
