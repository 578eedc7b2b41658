#ifndef FORETOKEN_FORETOKEN_BENCH_LOAD_GENERATOR_H_
#define FORETOKEN_FORETOKEN_BENCH_LOAD_GENERATOR_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/runtime_manager.h"
#include "foretoken/status.h"

namespace foretoken {

// Someone who sends one request at a time.
struct LoadClient {
  TenantRuntime* runtime = nullptr;
  size_t tenant = 0;  // its number in the answers
};

// Clients that take their next prompt from one queue when their last answer has ended.
struct ClosedLoad {
  std::span<const GenerateRequest> requests;  // what is sent for each prompt
  std::vector<LoadClient> clients;
  std::vector<size_t> queue;  // prompts, in the order in which they are taken
  // These send prompt after prompt of `flood_queue`, without end, from before the first of `queue`
  // until after the last one.
  std::vector<LoadClient> flood;
  std::vector<size_t> flood_queue;
};

// Requests that come when their time has come, whatever has become of those before.
struct OpenLoad {
  std::span<const GenerateRequest> requests;
  std::vector<LoadClient> senders;  // request i is sender i's, modulo their number
  std::vector<size_t> queue;
  std::vector<double> due_ms;  // of each of `queue`, in rising order
};

// Tokens that came together.
struct TokenArrival {
  double at_ms = 0;
  int32_t tokens = 0;
};

struct LoadAnswer {
  size_t prompt = 0;
  size_t tenant = 0;
  double due_ms = 0;  // when it was sent, or in an open load when it should have been
  std::vector<TokenArrival> arrivals;
  std::vector<TokenId> tokens;
  FinishedEvent finish;  // kCancelled: a flooding client's that was cut off in the end
};

// What came of a load. Times are milliseconds since it began.
struct LoadRecord {
  // Closed: from the first request to the moment when a client first found the queue empty, so that
  // all clients were busy in it. Open: from the first request to the end of the last answer.
  double window_begin_ms = 0;
  double window_end_ms = 0;
  std::vector<LoadAnswer> answers;  // in the order in which they ended
};

// Each blocks until the load is over and runs a thread for each client, or for each request of an
// open load. The first request that fails ends it; its status is returned.
Result<LoadRecord> RunClosedLoad(const ClosedLoad& load);
Result<LoadRecord> RunOpenLoad(const OpenLoad& load);

// `count` arrivals of a Poisson process of `per_second` on average, the first at 0. The same seed
// gives the same times.
std::vector<double> PoissonArrivals(double per_second, size_t count, uint64_t seed);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_BENCH_LOAD_GENERATOR_H_
