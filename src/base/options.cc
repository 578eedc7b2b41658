#include "foretoken/options.h"

#include <cmath>

#include <fmt/format.h>

namespace foretoken {
namespace {

// Collects the first violation; NaN fails every range.
class Checker {
 public:
  template <typename T>
  Checker& Range(const char* field, T value, bool allowed, const char* range) {
    if (status_.ok() && !allowed) {
      status_ = InvalidArgumentError(fmt::format("{} is {}; it must be {}", field, value, range));
    }
    return *this;
  }
  Checker& Require(bool allowed, std::string message) {
    if (status_.ok() && !allowed) status_ = InvalidArgumentError(std::move(message));
    return *this;
  }
  Checker& Also(Status status) {
    if (status_.ok()) status_ = std::move(status);
    return *this;
  }
  Status Take() { return std::move(status_); }

 private:
  Status status_;
};

}  // namespace

Status Validate(const SamplingOptions& o) {
  Checker check;
  check
      .Range("temperature", o.temperature, std::isfinite(o.temperature) && o.temperature >= 0,
             "a finite number, 0 or more")
      .Range("top_k", o.top_k, o.top_k >= 0, "0 (off) or more")
      .Range("top_p", o.top_p, o.top_p > 0 && o.top_p <= 1, "above 0 and at most 1")
      .Range("min_p", o.min_p, o.min_p >= 0 && o.min_p <= 1, "between 0 and 1")
      .Range("repetition_penalty", o.repetition_penalty,
             std::isfinite(o.repetition_penalty) && o.repetition_penalty > 0,
             "a finite number above 0")
      .Range("frequency_penalty", o.frequency_penalty,
             o.frequency_penalty >= -2 && o.frequency_penalty <= 2, "between -2 and 2")
      .Range("presence_penalty", o.presence_penalty,
             o.presence_penalty >= -2 && o.presence_penalty <= 2, "between -2 and 2");
  for (const auto& [token, bias] : o.logit_bias) {
    check.Range("logit_bias token", token, token >= 0, "0 or more")
        .Range("logit_bias", bias, bias >= -100 && bias <= 100, "between -100 and 100");
  }
  return check.Take();
}

Status Validate(const SpeculativeConfig& c) {
  return Checker()
      .Range("draft_k", c.draft_k, c.draft_k >= 0, "0 (plain decoding) or more")
      .Range("max_draft_tokens", c.max_draft_tokens, c.max_draft_tokens >= 0,
             "0 (plain decoding) or more")
      .Take();
}

Status Validate(const GenerateOptions& o) {
  Checker check;
  check.Range("max_tokens", o.max_tokens, o.max_tokens >= 1, "1 or more")
      .Range("the number of stop strings", o.stop.size(), o.stop.size() <= 16, "at most 16");
  for (const std::string& stop : o.stop) {
    check.Require(!stop.empty(), "a stop string is empty; leave it out instead");
  }
  if (o.logprobs) {
    check.Range("logprobs", *o.logprobs, *o.logprobs >= 0 && *o.logprobs <= 20, "between 0 and 20");
  }
  check.Also(Validate(o.sampling));
  if (o.speculation) check.Also(Validate(*o.speculation));
  return check.Take();
}

Status Validate(const ModelConfig& c) {
  return Checker()
      .Require(!c.path.empty(), fmt::format("model '{}' has no path to a GGUF file", c.id))
      .Range("context_tokens", c.context_tokens, c.context_tokens >= 0,
             "0 (the model's own) or more")
      .Range("threads", c.threads, c.threads >= 0 && c.threads <= 512,
             "0 (the physical cores) to 512")
      .Take();
}

Status Validate(const TenantConfig& c) {
  Checker check;
  check.Require(!c.name.empty(), "a tenant needs a name").Also(Validate(c.target));
  if (c.draft_model) check.Also(Validate(*c.draft_model));
  return check.Also(Validate(c.speculation)).Take();
}

Status Validate(const RuntimeOptions& o) {
  return Checker()
      .Range("stream_capacity", o.stream_capacity,
             o.stream_capacity >= 1 && o.stream_capacity <= 65536, "between 1 and 65536")
      .Take();
}

}  // namespace foretoken
