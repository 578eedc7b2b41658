#ifndef FORETOKEN_SERVER_IO_THREADS_H_
#define FORETOKEN_SERVER_IO_THREADS_H_

#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "foretoken/status.h"

namespace foretoken {

namespace asio = boost::asio;

// The threads on which sockets are served and handlers run; several servers may share them. What
// runs there must not compute or wait for long. Stop every server before this is destroyed.
class IoThreads {
 public:
  // At least one thread; INVALID_ARGUMENT or RESOURCE_EXHAUSTED otherwise.
  static Result<std::unique_ptr<IoThreads>> Start(int threads);
  // Ends the threads; what they had not done is dropped.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  asio::any_io_executor executor();

 private:
  struct Impl;
  explicit IoThreads(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_IO_THREADS_H_
