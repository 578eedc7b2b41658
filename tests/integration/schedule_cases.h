#ifndef FORETOKEN_INTEGRATION_SCHEDULE_CASES_H_
#define FORETOKEN_INTEGRATION_SCHEDULE_CASES_H_

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "foretoken/generation.h"
#include "foretoken/options.h"
#include "integration/schedule_oracle.h"
#include "testing/fake_model.h"

namespace foretoken {

// Reproducible choices.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  int32_t Int(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(engine_);
  }
  float Real(float low, float high) {
    return std::uniform_real_distribution<float>(low, high)(engine_);
  }
  bool Chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  template <typename T>
  const T& Pick(const std::vector<T>& values) {
    return values[static_cast<size_t>(Int(0, static_cast<int32_t>(values.size()) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};

// What the reader of a stream does beside reading. Numbers of events; absent: never.
struct ReaderPlan {
  std::optional<int32_t> cancel_after;
  std::optional<int32_t> drop_after;
  std::optional<int32_t> pause_every;  // a fraction of a millisecond, so that the stream fills up
};

struct ScheduledRequest {
  std::string tenant;
  GenerateRequest request;
  int64_t arrival_step = 0;            // of the target: its forwards are the clock of a schedule
  std::optional<int64_t> cancel_step;  // somebody else cancels it then
  ReaderPlan reader;
  // What must come of it.
  Answer answer;
  std::optional<size_t> fails_after;  // tokens after which its own poison ends it
  bool same_tokens = true;            // false: kMaxAcceptance, which keeps the law only
};

struct TenantRemoval {
  std::string tenant;
  int64_t step = 0;
  bool comes_back = false;
};

// What goes wrong below the engine. Chances are per call.
struct FaultPlan {
  bool poison = false;       // every forward of a target with a row of PoisonToken fails
  double target_chance = 0;  // a forward of a target finds no room, once
  double draft_chance = 0;   // a forward of a draft model fails
  double state_chance = 0;   // a fork fails, or saving or restoring a sequence
};

// A vocabulary's last token. Only requests that are meant to fail can choose it.
inline TokenId PoisonToken(int32_t vocabulary_size) {
  return vocabulary_size - 1;
}

inline constexpr const char* kTargetPath = "target";
inline constexpr const char* kOtherTargetPath = "target 2";
inline bool IsTarget(const std::string& path) {
  return path == kTargetPath || path == kOtherTargetPath;
}

// Everything about one random run, as plain data: models, tenants, requests, what goes wrong and
// when. The same seed gives the same schedule; which thread is faster is left to the machine.
struct Schedule {
  uint64_t seed = 0;
  RuntimeOptions runtime;
  std::map<std::string, FakeModelOptions> models;  // by path
  std::vector<TenantConfig> tenants;
  std::vector<ScheduledRequest> requests;
  std::vector<TenantRemoval> removals;
  FaultPlan faults;

  // All targets have its sizes.
  const FakeModelOptions& target() const { return models.at(kTargetPath); }
  int32_t context_tokens() const { return tenants.front().target.context_tokens; }
  // Precondition: there is one.
  const TenantConfig& FindTenant(const std::string& name) const;
  bool Removes(const std::string& tenant) const;
};

Schedule RandomSchedule(uint64_t seed);
// One whose requests are to be played over and over, with everything that may go wrong.
Schedule LongSchedule(uint64_t seed, int32_t requests);

// One for each target of the schedule, by path.
std::map<std::string, Oracle> MakeOracles(const Schedule& schedule);

// What they are, for the messages of failures.
std::string Describe(const Schedule& schedule);
std::string Describe(const ScheduledRequest& scheduled);

// A text that the fake tokenizer turns into these tokens (none of them 0).
std::string TextForTokens(const std::vector<TokenId>& tokens, int32_t vocabulary_size);

}  // namespace foretoken

#endif  // FORETOKEN_INTEGRATION_SCHEDULE_CASES_H_
