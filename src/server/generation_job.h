#ifndef FORETOKEN_SERVER_GENERATION_JOB_H_
#define FORETOKEN_SERVER_GENERATION_JOB_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "foretoken/generation.h"
#include "server/api_context.h"
#include "server/http_message.h"
#include "server/openai_request.h"
#include "server/wake_signal.h"
#include "server/wire_error.h"

namespace foretoken {

// What is wanted of a job; made from a parsed request.
struct JobRequest {
  std::string id;  // the ledger's
  GenerationFields fields;
  std::vector<PromptContent> prompts;   // one at least
  std::string prompt_field = "prompt";  // what the request calls them, for errors
};

// An event of one of a job's choices.
struct JobEvent {
  size_t choice = 0;  // of prompt p: p * n to p * n + n - 1
  StreamEvent event;
};

// One API request that generates: its models, quota, streams and its line in the ledger.
// Start, then Next until it is empty, then Finish; a job that is dropped earlier cancels what runs.
// Coroutines of one strand; Cancel is that strand's, too. The context must outlive it.
class GenerationJob {
 public:
  GenerationJob(ApiContext& context, ApiCaller caller, const asio::any_io_executor& executor);
  ~GenerationJob();
  GenerationJob(const GenerationJob&) = delete;
  GenerationJob& operator=(const GenerationJob&) = delete;

  // Uses the request up, which must live until this is done.
  // Loads the model if it must, waits for the quota, starts every choice. The error of a request
  // that was refused; nothing runs then.
  asio::awaitable<std::optional<WireError>> Start(JobRequest& request);
  // The next event of any choice, each choice's in order; empty when all have finished. Tokens
  // beyond the quota are cut off: the choice then ends with kLength, and quota_limit() names it.
  asio::awaitable<std::optional<JobEvent>> Next();
  // Ends every choice as cancelled.
  void Cancel();
  // Settles the quota and writes the ledger: before the answer's last event is sent.
  asio::awaitable<Status> Finish(int32_t http_status);

  size_t choices() const { return choices_.size(); }
  const std::string& model_name() const { return lease_.model().name; }
  const Tokenizer& tokenizer() const { return lease_.runtime().tokenizer(); }
  TenantRuntime& runtime() const { return lease_.runtime(); }
  // The limit that cut a choice short, or that refused the job; empty: none.
  const std::string& quota_limit() const { return quota_limit_; }
  // For answers that were refused because of a quota: in whole seconds.
  const HttpHeaders& retry_headers() const { return retry_headers_; }
  HttpHeaders rate_limit_headers() const;

 private:
  struct Prompt {
    std::vector<TokenId> tokens;
    bool is_paid = false;
  };
  struct Choice {
    std::unique_ptr<GenerationStream> stream;
    size_t prompt = 0;
    bool first_of_prompt = false;
    bool is_cut = false;
    bool is_done = false;
    int32_t delivered_tokens = 0;
  };

  asio::awaitable<std::optional<WireError>> Begin(JobRequest& request);
  // It neither runs nor waits any more: gives its places to others.
  void Leave();
  asio::awaitable<std::optional<WireError>> Tokenize(JobRequest& request);
  std::optional<WireError> BoundTokens(const JobRequest& request);
  asio::awaitable<std::optional<WireError>> ReserveQuota(int32_t n);
  asio::awaitable<std::optional<WireError>> TakeKvShare(int32_t n);
  int64_t ChoicesOf(int32_t n) const { return static_cast<int64_t>(prompts_.size()) * n; }
  // Of the tenant's requests to this model together; absent: as much as there is.
  std::optional<int64_t> KvLimit() const;
  std::optional<WireError> StartChoices(const JobRequest& request);
  std::optional<StreamEvent> Process(Choice& choice, StreamEvent event);
  // Prompts are paid for when they have been computed, once for all of their choices.
  void PayForPrompt(const Choice& choice);
  // Whether any token may be delivered; cuts `event` to those that may.
  bool PayFor(Choice& choice, TokensEvent& event);
  void Count(const Choice& choice, const FinishedEvent& finish);

  ApiContext& context_;
  const ApiCaller caller_;
  const std::shared_ptr<WakeSignal> signal_;
  ModelLease lease_;
  KvShareLease kv_share_;
  QuotaReservation quota_;
  std::vector<Prompt> prompts_;
  int64_t unpaid_prompt_tokens_ = 0;  // part of what is reserved
  std::vector<Choice> choices_;
  size_t next_choice_ = 0;
  int32_t max_tokens_ = 0;
  bool is_cancelled_ = false;
  bool is_counted_ = false;  // among the context's running requests
  UsageRecord usage_;
  std::string quota_limit_;
  HttpHeaders retry_headers_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_GENERATION_JOB_H_
