#include "integration/schedule_cases.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

// No noise lifts a token over this.
constexpr float kNeverBias = -100.0f;

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) { schedule_.seed = seed; }

  Schedule Generate() {
    MakeModels();
    MakeFaults();
    MakeRuntime();
    MakeTenants(random_.Int(1, 4));
    oracles_ = MakeOracles(schedule_);
    last_arrival_ = random_.Pick<int32_t>({0, 10, 60});
    const int32_t count = random_.Chance(0.1) ? random_.Int(1, 3) : random_.Int(4, 24);
    for (int32_t i = 0; i < count; ++i) schedule_.requests.push_back(MakeRequest());
    MakeRemovals();
    MakeCacheSizes(random_.Chance(0.7) ? random_.Real(1.2f, 4.0f) : 0.5f);
    return std::move(schedule_);
  }

  Schedule GenerateLong(int32_t requests) {
    MakeModels();
    for (auto& [path, model] : schedule_.models) {
      model.can_truncate = true;
      model.max_batch_rows = model.max_logits_rows = 32;
    }
    schedule_.faults = {
        .poison = true, .target_chance = 0.01, .draft_chance = 0.03, .state_chance = 0.03};
    MakeRuntime();
    schedule_.runtime.max_running = 8;
    schedule_.runtime.prefix_reuse = true;
    MakeTenants(4);
    for (size_t i = 0; i < 4; ++i) {
      TenantConfig& tenant = schedule_.tenants[i];
      tenant.draft_model.reset();
      const std::string draft = i < 2 ? "draft a" : "draft b";
      if (i < 3) tenant.draft_model = ModelConfig{.id = draft, .path = draft, .threads = 1};
      tenant.speculation = SpeculativeConfig();
      if (i % 2 == 0) tenant.speculation.mode = SpeculationMode::kFixed;
    }
    oracles_ = MakeOracles(schedule_);
    for (int32_t i = 0; i < requests; ++i) schedule_.requests.push_back(MakeRequest());
    MakeCacheSizes(8.0f);
    return std::move(schedule_);
  }

 private:
  void MakeModels() {
    FakeModelOptions target;
    target.vocabulary_size = random_.Int(8, 40);
    target.seed = schedule_.seed * 4 + 1;
    target.context_tokens = context_tokens_ = random_.Int(32, 120);
    target.max_batch_rows = random_.Int(2, 40);
    target.max_logits_rows =
        random_.Chance(0.5) ? target.max_batch_rows : random_.Int(1, target.max_batch_rows);
    target.can_truncate = !random_.Chance(0.04);
    target.context_order = random_.Chance(0.6) ? random_.Int(1, 3) : 0;
    target.end_of_text_logit = random_.Real(-8.0f, 0.0f);
    if (random_.Chance(0.3)) target.adapters = {{"x", 5}, {"y", 6}};
    schedule_.models[kTargetPath] = target;
    if (random_.Chance(0.1)) {
      target.seed += 3;
      schedule_.models[kOtherTargetPath] = target;
      target.seed -= 3;
    }
    for (const char* path : {"draft a", "draft b"}) {
      FakeModelOptions draft = target;
      draft.seed = target.seed + (path == std::string("draft a") ? 1 : 2);
      draft.imitated_seed = target.seed;
      draft.quality = random_.Chance(0.4) ? 1.0 : random_.Real(0.0f, 1.0f);
      draft.context_tokens = random_.Int(16, 120);
      draft.max_batch_rows = random_.Int(1, 40);
      draft.max_logits_rows = random_.Int(1, draft.max_batch_rows);
      draft.can_truncate = !random_.Chance(0.04);
      schedule_.models[path] = draft;
    }
    const int32_t bases = random_.Int(1, 3);
    for (int32_t i = 0; i < bases; ++i) shared_beginnings_.push_back(RandomTokens(context_tokens_));
  }

  void MakeFaults() {
    FaultPlan& faults = schedule_.faults;
    faults.poison = random_.Chance(0.3);
    if (random_.Chance(0.2)) faults.target_chance = random_.Real(0.005f, 0.1f);
    if (random_.Chance(0.2)) faults.state_chance = random_.Real(0.05f, 1.0f);
    if (random_.Chance(0.25)) {
      faults.draft_chance = random_.Chance(0.2) ? 1.0 : random_.Real(0.01f, 0.5f);
    }
  }

  void MakeRuntime() {
    RuntimeOptions& options = schedule_.runtime;
    // Through a narrow stream a request goes at its reader's pace, and the others without it.
    options.stream_capacity = random_.Chance(0.4) ? random_.Int(1, 8) : 64;
    options.max_running = random_.Chance(0.1) ? 1 : random_.Int(2, 8);
    options.prefill_slowdown = random_.Real(1.5f, 10.0f);
    options.prefix_reuse = random_.Chance(0.6);
    options.paused_state_bytes = random_.Pick<int64_t>({0, 2000, 1 << 20});
  }

  void MakeTenants(int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
      TenantConfig tenant;
      tenant.name = fmt::format("tenant {}", i);
      const bool other = schedule_.models.count(kOtherTargetPath) > 0 && random_.Chance(0.5);
      const std::string target = other ? kOtherTargetPath : kTargetPath;
      tenant.target = {
          .id = target, .path = target, .context_tokens = context_tokens_, .threads = 1};
      const std::string draft = random_.Pick<std::string>({"draft a", "draft b", ""});
      if (!draft.empty()) {
        tenant.draft_model = ModelConfig{.id = draft, .path = draft, .threads = 1};
        // Not only what the target has: also a draft model whose context ends earlier.
        if (random_.Chance(0.5)) {
          tenant.draft_model->context_tokens = schedule_.models[draft].context_tokens;
        }
        if (random_.Chance(0.5)) tenant.draft_model->kv_cache_tokens = 8 * context_tokens_;
      }
      tenant.speculation = RandomSpeculation();
      tenant.weight = random_.Real(0.25f, 4.0f);
      tenant.suffix_store_bytes = random_.Pick<int64_t>({0, 4096, 65536});
      for (const auto& [path, seed] : schedule_.target().adapters) {
        if (random_.Chance(0.7)) {
          tenant.adapters.push_back(
              {.id = path, .path = path, .scale = random_.Chance(0.5) ? 1.0f : 0.5f});
        }
      }
      schedule_.tenants.push_back(std::move(tenant));
    }
  }

  SpeculativeConfig RandomSpeculation() {
    SpeculativeConfig config;
    config.mode = random_.Pick<SpeculationMode>({SpeculationMode::kOff, SpeculationMode::kAuto,
                                                 SpeculationMode::kAuto, SpeculationMode::kFixed,
                                                 SpeculationMode::kFixed, SpeculationMode::kFixed});
    config.draft_k = random_.Int(0, 8);
    config.max_draft_tokens = random_.Int(0, 10);
    config.sources.clear();
    for (const DraftSourceKind kind :
         {DraftSourceKind::kPrediction, DraftSourceKind::kSuffix, DraftSourceKind::kDraftModel}) {
      if (random_.Chance(0.7)) config.sources.push_back(kind);
    }
    if (random_.Chance(0.5)) std::reverse(config.sources.begin(), config.sources.end());
    return config;
  }

  ScheduledRequest MakeRequest() {
    ScheduledRequest scheduled;
    const TenantConfig& tenant = random_.Pick(schedule_.tenants);
    scheduled.tenant = tenant.name;
    if (!schedule_.requests.empty() && random_.Chance(0.15)) {
      scheduled.request = random_.Pick(schedule_.requests).request;  // twice the same
    } else {
      scheduled.request.prompt = RandomPrompt();
      scheduled.request.options = RandomOptions();
    }
    GenerateOptions& options = scheduled.request.options;
    options.speculation.reset();
    if (random_.Chance(0.4)) options.speculation = RandomSpeculation();
    options.adapter.clear();
    if (!tenant.adapters.empty() && random_.Chance(0.5)) {
      options.adapter = random_.Pick(tenant.adapters).id;
    }
    scheduled.answer = oracles_.at(tenant.target.path).Ask(scheduled.request, tenant.adapters);
    if (options.speculation && random_.Chance(0.1)) {
      options.speculation->rule = VerifyRule::kMaxAcceptance;
      scheduled.same_tokens = false;
    }
    if (random_.Chance(0.3)) options.prediction = PartlyRight(scheduled.answer);
    if (random_.Chance(0.03)) options.deadline_ms = random_.Int(1, 3);
    MarkPoison(scheduled);
    MakeEvents(scheduled);
    return scheduled;
  }

  std::vector<TokenId> RandomTokens(int32_t count) {
    std::vector<TokenId> tokens;
    for (int32_t i = 0; i < count; ++i) {
      tokens.push_back(random_.Int(0, PoisonToken(schedule_.target().vocabulary_size) - 1));
    }
    return tokens;
  }

  std::vector<TokenId> RandomPrompt() {
    const int32_t longest = context_tokens_ - 1;
    const auto length =
        static_cast<size_t>(random_.Int(1, random_.Chance(0.2) ? longest : longest / 2));
    std::vector<TokenId> prompt;
    if (!schedule_.requests.empty() && random_.Chance(0.25)) {
      // The next turn of a conversation.
      const ScheduledRequest& turn = random_.Pick(schedule_.requests);
      prompt = std::get<std::vector<TokenId>>(turn.request.prompt);
      for (const GeneratedToken& token : turn.answer.tokens) prompt.push_back(token.id);
      std::erase(prompt, PoisonToken(schedule_.target().vocabulary_size));
      prompt.resize(std::min(prompt.size(), length));
    } else if (random_.Chance(0.6)) {
      const std::vector<TokenId>& base = random_.Pick(shared_beginnings_);
      prompt.assign(base.begin(), base.begin() + random_.Int(0, static_cast<int32_t>(length)));
    }
    const std::vector<TokenId> rest = RandomTokens(static_cast<int32_t>(length - prompt.size()));
    prompt.insert(prompt.end(), rest.begin(), rest.end());
    return prompt;
  }

  GenerateOptions RandomOptions() {
    const int32_t vocabulary_size = schedule_.target().vocabulary_size;
    GenerateOptions options;
    options.max_tokens = random_.Chance(0.05) ? 1 : random_.Int(2, 60);
    SamplingOptions& sampling = options.sampling;
    sampling.seed = static_cast<uint64_t>(random_.Int(0, 1 << 30));
    sampling.temperature = random_.Chance(0.35) ? 0.0f : random_.Real(0.1f, 1.5f);
    if (random_.Chance(0.2)) sampling.top_k = random_.Int(2, vocabulary_size);
    if (random_.Chance(0.2)) sampling.top_p = random_.Real(0.2f, 1.0f);
    if (random_.Chance(0.1)) sampling.min_p = random_.Real(0.0f, 0.5f);
    if (random_.Chance(0.2)) sampling.repetition_penalty = random_.Real(0.7f, 1.5f);
    if (random_.Chance(0.2)) sampling.frequency_penalty = random_.Real(-1.0f, 1.0f);
    if (random_.Chance(0.2)) sampling.presence_penalty = random_.Real(-1.0f, 1.0f);
    // Where there is poison, some requests may choose it.
    sampling.logit_bias = {{PoisonToken(vocabulary_size),
                            schedule_.faults.poison && random_.Chance(0.25) ? 0.0f : kNeverBias}};
    if (random_.Chance(0.3)) options.logprobs = random_.Int(0, 4);
    options.ignore_end_of_text = random_.Chance(0.3);
    static const std::vector<std::string> kStops = {"a", "ab", "\u00e9", "ba", "cd", "abab", "dc"};
    while (random_.Chance(0.15)) options.stop.push_back(random_.Pick(kStops));
    if (random_.Chance(0.3)) options.choice = static_cast<uint64_t>(random_.Int(1, 5));
    return options;
  }

  std::string PartlyRight(const Answer& answer) {
    std::vector<TokenId> tokens;
    for (const GeneratedToken& token : answer.tokens) {
      if (token.id == 0 || random_.Chance(0.05)) continue;
      tokens.push_back(random_.Chance(0.1) ? 1 : token.id);
    }
    return TextForTokens(tokens, schedule_.target().vocabulary_size);
  }

  // A poisoned request ends when its poison would have to be run: the tokens before it, and the
  // poison itself, were committed.
  void MarkPoison(ScheduledRequest& scheduled) const {
    if (!schedule_.faults.poison) return;
    const TokenId poison = PoisonToken(schedule_.target().vocabulary_size);
    const std::vector<GeneratedToken>& tokens = scheduled.answer.tokens;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (tokens[i].id != poison) continue;
      scheduled.fails_after = i + 1;
      return;
    }
  }

  void MakeEvents(ScheduledRequest& scheduled) {
    scheduled.arrival_step = random_.Int(0, last_arrival_);
    if (random_.Chance(0.1)) scheduled.reader.cancel_after = random_.Int(0, 12);
    if (random_.Chance(0.07)) scheduled.reader.drop_after = random_.Int(0, 12);
    if (random_.Chance(0.05)) scheduled.reader.pause_every = random_.Int(1, 6);
    if (random_.Chance(0.1)) {
      scheduled.cancel_step = scheduled.arrival_step + random_.Int(0, 60);
    }
  }

  void MakeRemovals() {
    for (const TenantConfig& tenant : schedule_.tenants) {
      if (!random_.Chance(0.06)) continue;
      schedule_.removals.push_back(
          {.tenant = tenant.name, .step = random_.Int(0, 60), .comes_back = random_.Chance(0.5)});
    }
  }

  // As many cells as the requests that may run at once want, divided by `over_commit`.
  void MakeCacheSizes(float over_commit) {
    std::vector<int32_t> lengths;
    for (const ScheduledRequest& scheduled : schedule_.requests) {
      const auto& prompt = std::get<std::vector<TokenId>>(scheduled.request.prompt);
      lengths.push_back(
          std::min(static_cast<int32_t>(prompt.size()) + scheduled.request.options.max_tokens,
                   context_tokens_));
    }
    std::sort(lengths.begin(), lengths.end(), std::greater<>());
    lengths.resize(std::min(lengths.size(), static_cast<size_t>(schedule_.runtime.max_running)));
    int32_t demand = 0;
    for (const int32_t length : lengths) demand += length;
    const auto cells = static_cast<int32_t>(static_cast<float>(demand) / over_commit);
    for (TenantConfig& tenant : schedule_.tenants) {
      tenant.target.kv_cache_tokens = std::max(cells, context_tokens_);
    }
  }

  Random random_;
  Schedule schedule_;
  int32_t context_tokens_ = 0;
  int32_t last_arrival_ = 0;
  std::vector<std::vector<TokenId>> shared_beginnings_;
  std::map<std::string, Oracle> oracles_;  // by path of the target
};

}  // namespace

const TenantConfig& Schedule::FindTenant(const std::string& name) const {
  return *std::find_if(tenants.begin(), tenants.end(),
                       [&](const TenantConfig& tenant) { return tenant.name == name; });
}

bool Schedule::Removes(const std::string& tenant) const {
  return std::any_of(removals.begin(), removals.end(),
                     [&](const TenantRemoval& removal) { return removal.tenant == tenant; });
}

Schedule RandomSchedule(uint64_t seed) {
  return Generator(seed).Generate();
}

Schedule LongSchedule(uint64_t seed, int32_t requests) {
  return Generator(seed).GenerateLong(requests);
}

std::map<std::string, Oracle> MakeOracles(const Schedule& schedule) {
  std::map<std::string, Oracle> oracles;
  for (const auto& [path, model] : schedule.models) {
    if (IsTarget(path)) oracles.emplace(path, Oracle(model, schedule.context_tokens()));
  }
  return oracles;
}

std::string Describe(const Schedule& schedule) {
  const FakeModelOptions& target = schedule.target();
  const RuntimeOptions& runtime = schedule.runtime;
  const FaultPlan& faults = schedule.faults;
  std::string text = fmt::format(
      "{} targets of {} tokens, {} in context, {} in cache, {} rows, {} with logits{}{}; "
      "{} running, streams of {}, prefix reuse {}, {} bytes for paused ones; "
      "poison {}, failures of target {:.3f}, drafts {:.3f}, states {:.3f}",
      schedule.models.count(kOtherTargetPath) + 1, target.vocabulary_size,
      schedule.context_tokens(), schedule.tenants.front().target.kv_cache_tokens,
      target.max_batch_rows, target.max_logits_rows,
      target.can_truncate ? "" : ", cannot be cut back",
      target.adapters.empty() ? "" : ", adapters", runtime.max_running, runtime.stream_capacity,
      runtime.prefix_reuse, runtime.paused_state_bytes, faults.poison, faults.target_chance,
      faults.draft_chance, faults.state_chance);
  for (const TenantRemoval& removal : schedule.removals) {
    text += fmt::format("; {} removed at {}", removal.tenant, removal.step);
  }
  return text;
}

std::string Describe(const ScheduledRequest& scheduled) {
  const GenerateOptions& options = scheduled.request.options;
  std::string text =
      fmt::format("{}, {} prompt tokens, at most {} more, arrives at {}", scheduled.tenant,
                  std::get<std::vector<TokenId>>(scheduled.request.prompt).size(),
                  options.max_tokens, scheduled.arrival_step);
  if (options.choice > 0) text += fmt::format(", choice {}", options.choice);
  if (!options.adapter.empty()) text += ", adapter " + options.adapter;
  if (!options.prediction.empty()) text += ", prediction";
  if (options.deadline_ms > 0) text += fmt::format(", deadline {} ms", options.deadline_ms);
  if (scheduled.cancel_step) text += fmt::format(", cancelled at {}", *scheduled.cancel_step);
  if (scheduled.reader.cancel_after) {
    text += fmt::format(", cancels after {}", *scheduled.reader.cancel_after);
  }
  if (scheduled.reader.pause_every) text += ", pauses";
  if (scheduled.fails_after) text += fmt::format(", poisoned after {}", *scheduled.fails_after);
  return text;
}

std::string TextForTokens(const std::vector<TokenId>& tokens, int32_t vocabulary_size) {
  // A byte is the token 1 + byte % (vocabulary_size - 1). Readable bytes where there are some.
  std::string text;
  for (const TokenId token : tokens) {
    int32_t byte = token - 1;
    while (byte < ' ') byte += vocabulary_size - 1;
    text += static_cast<char>(byte);
  }
  return text;
}

}  // namespace foretoken
