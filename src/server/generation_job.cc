#include "server/generation_job.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "base/random_seed.h"
#include "server/api_errors.h"
#include "server/awaited_value.h"
#include "server/model_access.h"
#include "server/parse_body.h"
#include "store/utc_time.h"
#include "tenancy/quota_headers.h"

namespace foretoken {
namespace {

using Clock = std::chrono::steady_clock;

// What a request reserves of its quota beyond its prompt, and extends it by.
constexpr int64_t kQuotaStep = 64;
constexpr auto kQuotaPoll = std::chrono::milliseconds(20);

// How a choice can end, from the best on.
constexpr std::string_view kOutcomes[] = {"stop", "length", "quota", "cancelled", "error"};

}  // namespace

GenerationJob::GenerationJob(ApiContext& context, ApiCaller caller,
                             const asio::any_io_executor& executor)
    : context_(context),
      caller_(std::move(caller)),
      signal_(std::make_shared<WakeSignal>(executor)) {}

GenerationJob::~GenerationJob() {
  Leave();
}

void GenerationJob::Leave() {
  quota_.Reset();
  if (std::exchange(is_counted_, false)) --context_.running_requests;
}

asio::awaitable<std::optional<WireError>> GenerationJob::Start(JobRequest& request) {
  usage_.id = request.id;
  usage_.tenant = caller_.record().name;
  usage_.key_id = caller_.key_id;
  usage_.started_ms = UtcNowMs();
  std::optional<WireError> error = co_await Begin(request);
  if (error) Leave();
  co_return error;
}

asio::awaitable<std::optional<WireError>> GenerationJob::Begin(JobRequest& request) {
  if (context_.is_draining) {
    co_return OverloadedError("the server is shutting down", retry_headers_);
  }
  is_counted_ = true;
  if (++context_.running_requests > context_.config.limits.requests) {
    co_return OverloadedError(
        fmt::format("{} requests are running or waiting, the most this server takes",
                    context_.config.limits.requests),
        retry_headers_);
  }
  const ModelWaiter waiter{signal_, &is_cancelled_};
  WireResult<ModelLease> lease =
      co_await AcquireModel(context_, caller_, request.fields.model, waiter);
  if (!lease.ok()) co_return lease.error();
  lease_ = std::move(*lease);
  usage_.model = lease_.model().name;
  if (auto error = co_await Tokenize(request)) co_return error;
  if (auto error = BoundTokens(request)) co_return error;
  if (auto error = co_await TakeKvShare(request.fields.n)) co_return error;
  if (auto error = co_await ReserveQuota(request.fields.n)) co_return error;
  // Nobody cancels again what would begin now.
  if (is_cancelled_) co_return ClientGoneError();
  co_return StartChoices(request);
}

asio::awaitable<std::optional<WireError>> GenerationJob::Tokenize(JobRequest& request) {
  const Tokenizer& tokenizer = lease_.runtime().tokenizer();
  const Status status = co_await OnWorkers(context_, [&] {
    for (const PromptContent& prompt : request.prompts) {
      Result<std::vector<TokenId>> tokens = tokenizer.Tokenize(prompt);
      if (!tokens.ok()) return tokens.status();
      prompts_.push_back({.tokens = *std::move(tokens)});
    }
    return OkStatus();
  });
  if (status.ok()) co_return std::nullopt;
  // Tokens that the model does not have, or messages to one that has no layout for them.
  const bool is_wrong = status.code() == StatusCode::kInvalidArgument ||
                        status.code() == StatusCode::kFailedPrecondition;
  if (is_wrong) co_return InvalidRequestError(request.prompt_field, status.message());
  co_return WireErrorOf(status);
}

std::optional<WireError> GenerationJob::BoundTokens(const JobRequest& request) {
  const TenantRecord& record = caller_.record();
  const int64_t context_tokens = lease_.runtime().target_info().context_tokens;
  int64_t longest = 0;
  for (const Prompt& prompt : prompts_) {
    const auto tokens = static_cast<int64_t>(prompt.tokens.size());
    if (tokens == 0) return InvalidRequestError(request.prompt_field, "the prompt has no tokens");
    longest = std::max(longest, tokens);
    usage_.prompt_tokens += tokens;
  }
  int64_t most_prompt = context_tokens - 1;
  if (record.max_prompt_tokens > 0) most_prompt = std::min(most_prompt, record.max_prompt_tokens);
  if (longest > most_prompt) {
    WireError error = InvalidRequestError(
        request.prompt_field,
        fmt::format("the prompt has {} tokens; {} are possible here: shorten it", longest,
                    most_prompt));
    error.code = "context_length_exceeded";
    return error;
  }
  int64_t most = context_tokens - longest;
  if (record.max_completion_tokens > 0) most = std::min(most, record.max_completion_tokens);
  if (const std::optional<int64_t> limit = KvLimit()) {
    most = std::min(most, (*limit - usage_.prompt_tokens) / ChoicesOf(request.fields.n));
    if (most < 1) {
      return QuotaError(fmt::format(
          "the request needs more than the tenant's share of the KV cache, {} tokens", *limit));
    }
  }
  max_tokens_ =
      static_cast<int32_t>(std::min<int64_t>(request.fields.max_tokens.value_or(most), most));
  return std::nullopt;
}

std::optional<int64_t> GenerationJob::KvLimit() const {
  const double share = caller_.record().kv_share;
  if (share >= 1) return std::nullopt;
  return static_cast<int64_t>(share * lease_.runtime().target_info().cache_tokens);
}

asio::awaitable<std::optional<WireError>> GenerationJob::TakeKvShare(int32_t n) {
  const std::optional<int64_t> limit = KvLimit();
  if (!limit) co_return std::nullopt;
  const int64_t tokens = usage_.prompt_tokens + ChoicesOf(n) * max_tokens_;
  const auto deadline =
      Clock::now() + std::chrono::milliseconds(context_.config.limits.quota_wait_ms);
  while (true) {
    kv_share_ = context_.kv_shares.TryTake(usage_.tenant, usage_.model, tokens, *limit);
    if (kv_share_.ok()) co_return std::nullopt;
    if (Clock::now() >= deadline) break;
    co_await signal_->Wait(std::min(deadline, Clock::now() + kQuotaPoll));
    if (is_cancelled_) co_return ClientGoneError();
  }
  quota_limit_ = "kv_share";
  retry_headers_.emplace_back("retry-after", "1");
  co_return QuotaError(fmt::format(
      "the tenant's running requests hold its share of the KV cache ({} tokens)", *limit));
}

asio::awaitable<std::optional<WireError>> GenerationJob::ReserveQuota(int32_t n) {
  const int64_t first =
      usage_.prompt_tokens + ChoicesOf(n) * std::min<int64_t>(max_tokens_, kQuotaStep);
  TenantQuota& quota = *caller_.tenant->quota;
  QuotaTicket ticket = quota.Enqueue(first);
  const auto deadline =
      Clock::now() + std::chrono::milliseconds(context_.config.limits.quota_wait_ms);
  for (;;) {
    Result<QuotaReservation> reservation = ticket.TryReserve();
    if (reservation.ok()) {
      quota_ = *std::move(reservation);
      unpaid_prompt_tokens_ = usage_.prompt_tokens;
      quota_limit_.clear();
      co_return std::nullopt;
    }
    quota_limit_ = std::string(ticket.refused_by());
    // More than a limit allows at all: no waiting helps.
    if (reservation.status().code() != StatusCode::kResourceExhausted) {
      co_return WireErrorOf(reservation.status());
    }
    if (Clock::now() >= deadline) {
      retry_headers_ = {{"retry-after", RetryAfterSeconds(ticket.RetryAfterMs())}};
      co_return QuotaError(reservation.status().message());
    }
    co_await signal_->Wait(std::min(deadline, Clock::now() + kQuotaPoll));
    if (is_cancelled_) co_return ClientGoneError();
  }
}

std::optional<WireError> GenerationJob::StartChoices(const JobRequest& request) {
  const GenerationFields& fields = request.fields;
  GenerateOptions options = fields.options;
  options.max_tokens = max_tokens_;
  // One for all choices, which differ by their noise streams.
  if (!options.sampling.seed) options.sampling.seed = RandomSeed();
  if (fields.speculation) {
    options.speculation = fields.speculation->Over(PolicyOf(caller_.record(), lease_.model()));
  }
  if (const int64_t most_ms = context_.config.limits.request_ms; most_ms > 0) {
    options.deadline_ms =
        options.deadline_ms > 0 ? std::min(options.deadline_ms, most_ms) : most_ms;
  }
  for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
    for (int32_t i = 0; i < fields.n; ++i) {
      options.choice = static_cast<uint64_t>(i);
      auto stream =
          lease_.runtime().GenerateStream({.prompt = prompts_[prompt].tokens, .options = options});
      if (!stream.ok()) {
        choices_.clear();  // cancels those that were started
        return WireErrorOf(stream.status());
      }
      choices_.push_back(
          {.stream = *std::move(stream), .prompt = prompt, .first_of_prompt = i == 0});
    }
  }
  return std::nullopt;
}

asio::awaitable<std::optional<JobEvent>> GenerationJob::Next() {
  for (;;) {
    bool is_running = false;
    for (size_t i = 0; i < choices_.size(); ++i) {
      const size_t index = (next_choice_ + i) % choices_.size();
      Choice& choice = choices_[index];
      while (!choice.is_done) {
        std::optional<StreamEvent> event = choice.stream->TryNext();
        if (!event) break;
        if (std::optional<StreamEvent> shown = Process(choice, *std::move(event))) {
          next_choice_ = index + 1;
          co_return JobEvent{index, *std::move(shown)};
        }
      }
      is_running = is_running || !choice.is_done;
    }
    if (!is_running) co_return std::nullopt;
    for (Choice& choice : choices_) {
      if (!choice.is_done) {
        choice.stream->NotifyWhenReady([signal = signal_] { signal->Notify(); });
      }
    }
    co_await signal_->Wait();
  }
}

std::optional<StreamEvent> GenerationJob::Process(Choice& choice, StreamEvent event) {
  if (auto* const tokens = std::get_if<TokensEvent>(&event)) {
    if (choice.is_cut || !PayFor(choice, *tokens)) return std::nullopt;
    return event;
  }
  auto& finish = std::get<FinishedEvent>(event);
  choice.is_done = true;
  if (choice.is_cut) {
    finish.reason = FinishReason::kLength;
    finish.status = OkStatus();
    finish.warnings.push_back("the answer was cut short by the quota " + quota_limit_);
  }
  finish.usage.completion_tokens = choice.delivered_tokens;
  // The ledger counts the prompt, whether it came to tokens or not; so does the quota.
  PayForPrompt(choice);
  Count(choice, finish);
  return event;
}

void GenerationJob::PayForPrompt(const Choice& choice) {
  Prompt& prompt = prompts_[choice.prompt];
  if (std::exchange(prompt.is_paid, true)) return;
  const auto tokens = static_cast<int64_t>(prompt.tokens.size());
  quota_.Spend(tokens);
  unpaid_prompt_tokens_ -= tokens;
}

bool GenerationJob::PayFor(Choice& choice, TokensEvent& event) {
  PayForPrompt(choice);
  const auto wanted = static_cast<int64_t>(event.tokens.size());
  // What is reserved for prompts that are still to come is not for tokens.
  int64_t free = quota_.unspent_tokens() - unpaid_prompt_tokens_;
  while (free < wanted) {
    const Result<int64_t> more = quota_.Extend(std::max(kQuotaStep, wanted - free));
    if (!more.ok()) {
      quota_limit_ = std::string(quota_.refused_by());
      break;
    }
    free += *more;
  }
  const int64_t paid = std::min(wanted, free);
  quota_.Spend(paid);
  choice.delivered_tokens += static_cast<int32_t>(paid);
  if (paid == wanted) return true;
  choice.is_cut = true;
  choice.stream->Cancel();
  event.tokens.resize(static_cast<size_t>(paid));
  event.text.clear();
  for (const GeneratedToken& token : event.tokens) event.text += token.text;
  return paid > 0;
}

void GenerationJob::Count(const Choice& choice, const FinishedEvent& finish) {
  usage_.completion_tokens += finish.usage.completion_tokens;
  if (choice.first_of_prompt) usage_.cached_tokens += finish.usage.cached_prompt_tokens;
  usage_.drafted_tokens += finish.speculation.drafted;
  usage_.accepted_tokens += finish.speculation.accepted;
  const std::string_view outcome = choice.is_cut ? "quota" : FinishReasonName(finish.reason);
  const auto rank = [](std::string_view name) {
    return std::find(std::begin(kOutcomes), std::end(kOutcomes), name);
  };
  // The worst of all choices.
  if (usage_.outcome.empty() || rank(usage_.outcome) < rank(outcome)) usage_.outcome = outcome;
}

void GenerationJob::Cancel() {
  is_cancelled_ = true;
  for (Choice& choice : choices_) {
    if (choice.stream) choice.stream->Cancel();
  }
  signal_->Notify();
}

HttpHeaders GenerationJob::rate_limit_headers() const {
  return RateLimitHeaders(caller_.tenant->quota->Levels());
}

asio::awaitable<Status> GenerationJob::Finish(int32_t http_status) {
  Leave();
  usage_.finished_ms = UtcNowMs();
  usage_.http_status = http_status;
  if (usage_.outcome.empty()) usage_.outcome = http_status < 400 ? "cancelled" : "error";
  context_.metrics.AddUsage(usage_);
  if (context_.ledger == nullptr) co_return OkStatus();
  const auto recorded = std::make_shared<AwaitedValue<Status>>(signal_);
  context_.ledger->Record(usage_, [recorded](Status status) { recorded->Set(std::move(status)); });
  while (!recorded->is_there()) co_await signal_->Wait();
  co_return recorded->value();
}

}  // namespace foretoken
