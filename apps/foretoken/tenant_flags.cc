#include "tenant_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include "base/macros.h"

namespace foretoken {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kNone = "none";

std::vector<std::string> SplitNames(std::string_view text) {
  std::vector<std::string> names;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    names.emplace_back(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return names;
}

Status ApplySpeculation(const std::string& text, std::optional<TenantSpeculation>& speculation) {
  if (text == kDefault) {
    speculation.reset();
    return OkStatus();
  }
  TenantSpeculation said = speculation.value_or(TenantSpeculation{});
  const char* const end = text.data() + text.size();
  int32_t draft_k = 0;
  if (text == "auto") {
    said.mode = SpeculationMode::kAuto;
  } else if (text == "off") {
    said.mode = SpeculationMode::kOff;
  } else if (const auto [stop, error] = std::from_chars(text.data(), end, draft_k);
             error == std::errc() && stop == end && draft_k >= 0) {
    said.mode = SpeculationMode::kFixed;
    said.draft_k = draft_k;
    said.max_draft_tokens = std::max(said.max_draft_tokens, draft_k);
  } else {
    return InvalidArgumentError(fmt::format(
        "--speculation is '{}'; it must be auto, off, a number of tokens or default", text));
  }
  speculation = said;
  return OkStatus();
}

template <typename T>
void ApplyValue(const std::optional<T>& said, T& value) {
  if (said) value = *said;
}

}  // namespace

void AddTenantFlags(CLI::App& command, TenantFlags& flags) {
  command.add_option("--target", flags.target,
                     "The model of requests that name none; default: the server's");
  command.add_option("--draft", flags.draft,
                     "Its draft model; none: no draft model; default: the server's");
  command.add_option("--speculation", flags.speculation,
                     "auto, off, a number of drafted tokens, or default: the server's");
  command.add_option("--max-draft-tokens", flags.max_draft_tokens,
                     "The most drafted tokens that a request may ask for");
  command.add_option("--models", flags.models,
                     "The models it may use, with commas between them; \"\": all");
  command.add_option("--adapters", flags.adapters,
                     "The adapters it may use, with commas between them; \"\": none");
  command.add_option("--weight", flags.weight, "Its share against other tenants' (1)");
  command.add_option("--requests-per-minute", flags.requests_per_minute,
                     "Requests that begin in any 60 s; 0, here and below: no limit");
  command.add_option("--tokens-per-minute", flags.tokens_per_minute,
                     "Tokens of prompts and answers in any 60 s");
  command.add_option("--tokens-per-day", flags.tokens_per_day, "The same in a day of UTC");
  command.add_option("--concurrent-requests", flags.concurrent_requests,
                     "Requests that run at a time");
  command.add_option("--kv-share", flags.kv_share,
                     "Its part of a target's KV cache, above 0 to 1 (1: no limit)");
  command.add_option("--max-prompt-tokens", flags.max_prompt_tokens, "Tokens of one prompt");
  command.add_option("--max-completion-tokens", flags.max_completion_tokens,
                     "Tokens of one answer");
  auto* const enable = command.add_flag_callback(
      "--enable", [&flags] { flags.enabled = true; }, "Accept its keys");
  auto* const disable = command.add_flag_callback(
      "--disable", [&flags] { flags.enabled = false; }, "Refuse its keys, but keep all of it");
  enable->excludes(disable);
}

Status ApplyTenantFlags(const TenantFlags& flags, TenantRecord& tenant) {
  if (flags.target) tenant.target = *flags.target == kDefault ? "" : *flags.target;
  if (flags.draft == kDefault) {
    tenant.draft_model.reset();
  } else if (flags.draft) {
    tenant.draft_model = *flags.draft == kNone ? "" : *flags.draft;
  }
  if (flags.speculation) {
    FORETOKEN_RETURN_IF_ERROR(ApplySpeculation(*flags.speculation, tenant.speculation));
  }
  if (flags.max_draft_tokens) {
    if (!tenant.speculation) tenant.speculation.emplace();
    tenant.speculation->max_draft_tokens = *flags.max_draft_tokens;
  }
  if (flags.models) tenant.models = SplitNames(*flags.models);
  if (flags.adapters) tenant.adapters = SplitNames(*flags.adapters);
  ApplyValue(flags.weight, tenant.weight);
  ApplyValue(flags.requests_per_minute, tenant.quota.requests_per_minute);
  ApplyValue(flags.tokens_per_minute, tenant.quota.tokens_per_minute);
  ApplyValue(flags.tokens_per_day, tenant.quota.tokens_per_day);
  ApplyValue(flags.concurrent_requests, tenant.quota.concurrent_requests);
  ApplyValue(flags.kv_share, tenant.kv_share);
  ApplyValue(flags.max_prompt_tokens, tenant.max_prompt_tokens);
  ApplyValue(flags.max_completion_tokens, tenant.max_completion_tokens);
  ApplyValue(flags.enabled, tenant.enabled);
  return OkStatus();
}

}  // namespace foretoken
