#include "server/io_threads.h"

#include <fmt/format.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"

namespace foretoken {

struct IoThreads::Impl {
  explicit Impl(int thread_count) : context(thread_count) {}

  // A handler's exceptions end in its connection; this is for what nobody thought of.
  void RunThread() {
    while (!context.stopped()) {
      try {
        context.run();
      } catch (const std::exception& error) {
        Log(LogLevel::kError, fmt::format("an I/O thread caught: {}", error.what()));
      }
    }
  }

  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::vector<std::thread> threads;
};

Result<std::unique_ptr<IoThreads>> IoThreads::Start(int threads) {
  if (threads < 1) {
    return InvalidArgumentError(fmt::format("{} I/O threads: at least one is needed", threads));
  }
  std::unique_ptr<IoThreads> io(new IoThreads(std::make_unique<Impl>(threads)));
  try {
    for (int i = 0; i < threads; ++i) {
      io->impl_->threads.emplace_back([impl = io->impl_.get()] { impl->RunThread(); });
    }
  } catch (const std::system_error& error) {
    return ResourceExhaustedError(fmt::format("an I/O thread cannot start: {}", error.what()));
  }
  return io;
}

IoThreads::IoThreads(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

IoThreads::~IoThreads() {
  impl_->context.stop();
  for (std::thread& thread : impl_->threads) thread.join();
}

asio::any_io_executor IoThreads::executor() {
  return impl_->context.get_executor();
}

}  // namespace foretoken
