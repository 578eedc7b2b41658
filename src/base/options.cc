#include "foretoken/options.h"

#include <cmath>
#include <set>
#include <string_view>

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
  check.Range("deadline_ms", o.deadline_ms, o.deadline_ms >= 0, "0 (none) or more")
      .Also(Validate(o.sampling));
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
      .Range("kv_cache_tokens", c.kv_cache_tokens,
             c.kv_cache_tokens == 0 || c.kv_cache_tokens >= c.context_tokens,
             "0 (as many as context_tokens) or at least context_tokens")
      .Take();
}

Status Validate(const AdapterConfig& c) {
  return Checker()
      .Require(!c.id.empty(), "an adapter needs an id")
      .Require(!c.path.empty(), fmt::format("adapter '{}' has no path to a GGUF file", c.id))
      .Range("scale", c.scale, std::isfinite(c.scale), "a finite number")
      .Take();
}

Status Validate(const TenantConfig& c) {
  Checker check;
  check.Require(!c.name.empty(), "a tenant needs a name").Also(Validate(c.target));
  if (c.draft_model) check.Also(Validate(*c.draft_model));
  check.Also(Validate(c.speculation))
      .Range("weight", c.weight, c.weight >= 0.001 && c.weight <= 1000, "between 0.001 and 1,000")
      .Range("suffix_store_bytes", c.suffix_store_bytes,
             c.suffix_store_bytes >= 0 && c.suffix_store_bytes <= (int64_t{1} << 30),
             "between 0 (none) and 1073741824");
  std::set<std::string_view> ids;
  for (const AdapterConfig& adapter : c.adapters) {
    check.Also(Validate(adapter))
        .Require(ids.insert(adapter.id).second,
                 fmt::format("two adapters have the id '{}'", adapter.id));
  }
  return check.Take();
}

Status Validate(const RuntimeOptions& o) {
  return Checker()
      .Range("stream_capacity", o.stream_capacity,
             o.stream_capacity >= 1 && o.stream_capacity <= 65536, "between 1 and 65536")
      .Range("slow_reader_ms", o.slow_reader_ms, o.slow_reader_ms >= 1, "1 or more")
      .Range("max_running", o.max_running, o.max_running >= 1 && o.max_running <= 256,
             "between 1 and 256")
      .Range("prefill_slowdown", o.prefill_slowdown,
             o.prefill_slowdown >= 1.5 && o.prefill_slowdown <= 1000, "between 1.5 and 1,000")
      .Range("paused_state_bytes", o.paused_state_bytes, o.paused_state_bytes >= 0, "0 or more")
      .Take();
}

}  // namespace foretoken
