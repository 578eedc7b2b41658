#include "server/generation_endpoint.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "server/api_errors.h"
#include "server/chat_answer_form.h"
#include "server/completion_answer_form.h"
#include "server/http_request_id.h"
#include "server/parse_body.h"
#include "server/responses_answer_form.h"
#include "server/sse_writer.h"
#include "store/utc_time.h"

namespace foretoken {
namespace {

TokenBytes BytesOf(const GenerationJob& job, bool wanted) {
  if (!wanted) return nullptr;
  return [&tokenizer = job.tokenizer()](TokenId token) { return tokenizer.TokenBytes(token); };
}

// Why an answer to messages with tools cannot be read, whatever the reason: the request's matter.
WireError ReplyParserError(const Status& status) {
  return InvalidRequestError("tools", status.message());
}

// The outcome of all choices together.
struct Outcome {
  AnswerTotals totals;
  std::optional<WireError> error;  // of the first that failed
  bool has_tokens = false;
};

void NoteFinish(const FinishedEvent& finish, bool first_of_prompt, Outcome& outcome) {
  outcome.totals.Add(finish, first_of_prompt);
  outcome.has_tokens = outcome.has_tokens || finish.usage.completion_tokens > 0;
  if (finish.status.ok() || outcome.error) return;
  // A deadline ends an answer as a length does, if it has begun.
  if (finish.status.code() == StatusCode::kDeadlineExceeded && outcome.has_tokens) {
    outcome.totals.warnings.push_back(finish.status.message());
    return;
  }
  outcome.error = WireErrorOf(finish.status);
}

class Answer {
 public:
  Answer(HttpExchange& exchange, GenerationJob& job, AnswerForm& form, int32_t n)
      : exchange_(exchange), job_(job), form_(form), n_(static_cast<size_t>(n)) {}

  asio::awaitable<void> Stream(HttpHeaders headers) {
    SseWriter writer(exchange_);
    written_ = co_await writer.Begin(std::move(headers));
    if (!written_.ok()) job_.Cancel();
    std::string out;
    form_.Begin(out);
    co_await Write(out);
    while (std::optional<JobEvent> event = co_await job_.Next()) {
      Feed(*event, out);
      co_await Write(out);
    }
    const Status recorded = co_await job_.Finish(200);
    if (!recorded.ok()) outcome_.error = WireErrorOf(InternalError("the usage was not recorded"));
    if (outcome_.error) {
      form_.Fail(*outcome_.error, out);
    } else {
      form_.End(outcome_.totals, out);
    }
    co_await Write(out);
    if (written_.ok()) written_ = co_await writer.End();
  }

  asio::awaitable<void> Whole(HttpHeaders headers) {
    std::string unused;
    while (std::optional<JobEvent> event = co_await job_.Next()) {
      Feed(*event, unused);
      unused.clear();
    }
    const int32_t status = outcome_.error ? outcome_.error->http_status : 200;
    const Status recorded = co_await job_.Finish(status);
    // An answer that nobody could bill is not given.
    if (!recorded.ok()) outcome_.error = WireErrorOf(InternalError("the usage was not recorded"));
    if (!job_.quota_limit().empty()) headers.emplace_back("x-foretoken-quota", job_.quota_limit());
    if (outcome_.error) {
      written_ = co_await exchange_.Respond(ErrorResponse(*outcome_.error, std::move(headers)));
      co_return;
    }
    headers.emplace_back("content-type", "application/json");
    HttpResponse response{200, std::move(headers), form_.Body(outcome_.totals)};
    written_ = co_await exchange_.Respond(std::move(response));
  }

 private:
  void Feed(const JobEvent& event, std::string& out) {
    if (const auto* const tokens = std::get_if<TokensEvent>(&event.event)) {
      form_.Tokens(event.choice, *tokens, out);
      return;
    }
    const auto& finish = std::get<FinishedEvent>(event.event);
    NoteFinish(finish, event.choice % n_ == 0, outcome_);
    if (outcome_.error) {
      job_.Cancel();  // an answer without all of its choices is none
    } else {
      form_.Finish(event.choice, finish, out);
    }
  }

  asio::awaitable<void> Write(std::string& out) {
    if (!out.empty() && written_.ok()) {
      written_ = co_await exchange_.Write(out);
      if (!written_.ok()) job_.Cancel();
    }
    out.clear();
  }

  HttpExchange& exchange_;
  GenerationJob& job_;
  AnswerForm& form_;
  const size_t n_;
  Outcome outcome_;
  Status written_;
};

AnswerHead HeadOf(const ApiContext& context, const JobRequest& request, std::string_view kind) {
  return {.id = fmt::format("{}-{}", kind, request.id),
          .created = UtcNowMs() / 1000,
          .model = request.fields.model,
          .system_fingerprint = context.system_fingerprint};
}

// The options of an answer, but for what the job knows: see Complete.
AnswerOptions OptionsOf(const ApiContext& context, const JobRequest& request,
                        std::string_view kind) {
  AnswerOptions options;
  options.head = HeadOf(context, request, kind);
  options.stream = request.fields.stream;
  options.include_usage = request.fields.include_usage;
  return options;
}

void Complete(const GenerationJob& job, bool has_logprobs, AnswerOptions& options) {
  if (options.head.model.empty()) options.head.model = job.model_name();
  options.choices = job.choices();
  options.logprob_bytes = BytesOf(job, has_logprobs);
}

GenerationEndpoint EndpointOf(const ApiContext& context, ChatCompletionRequest&& request) {
  GenerationEndpoint endpoint;
  endpoint.request.id = RequestIdOf({});
  endpoint.request.fields = std::move(request.common);
  endpoint.request.prompts.emplace_back(request.prompt);
  endpoint.request.prompt_field = "messages";
  endpoint.make_form = [common = OptionsOf(context, endpoint.request, "chatcmpl"),
                        has_logprobs = endpoint.request.fields.options.logprobs.has_value(),
                        prompt = std::move(request.prompt)](
                           const GenerationJob& job) -> WireResult<std::unique_ptr<AnswerForm>> {
    ChatAnswerOptions options{common, {}};
    Complete(job, has_logprobs, options);
    for (size_t i = 0; !prompt.tools.empty() && i < job.choices(); ++i) {
      auto parser = job.tokenizer().NewReplyParser(prompt);
      if (!parser.ok()) return ReplyParserError(parser.status());
      options.parsers.push_back(*std::move(parser));
    }
    return std::unique_ptr<AnswerForm>(std::make_unique<ChatAnswerForm>(std::move(options)));
  };
  return endpoint;
}

GenerationEndpoint EndpointOf(const ApiContext& context, CompletionRequest&& request) {
  GenerationEndpoint endpoint;
  endpoint.request.id = RequestIdOf({});
  endpoint.request.fields = std::move(request.common);
  endpoint.request.prompts = std::move(request.prompts);
  endpoint.make_form = [common = OptionsOf(context, endpoint.request, "cmpl"),
                        has_logprobs = endpoint.request.fields.options.logprobs.has_value()](
                           const GenerationJob& job) -> WireResult<std::unique_ptr<AnswerForm>> {
    AnswerOptions options = common;
    Complete(job, has_logprobs, options);
    return std::unique_ptr<AnswerForm>(std::make_unique<CompletionAnswerForm>(std::move(options)));
  };
  return endpoint;
}

GenerationEndpoint EndpointOf(const ApiContext& context, ResponsesRequest&& request) {
  GenerationEndpoint endpoint;
  endpoint.request.id = RequestIdOf({});
  endpoint.request.fields = request.common;
  endpoint.request.prompts.emplace_back(request.prompt);
  endpoint.request.prompt_field = "input";
  endpoint.make_form = [head = HeadOf(context, endpoint.request, "resp"),
                        request = std::move(request)](
                           const GenerationJob& job) -> WireResult<std::unique_ptr<AnswerForm>> {
    AnswerHead own_head = head;
    own_head.id = "resp_" + head.id.substr(head.id.find('-') + 1);
    if (own_head.model.empty()) own_head.model = job.model_name();
    std::unique_ptr<ReplyParser> parser;
    if (!request.prompt.tools.empty()) {
      auto made = job.tokenizer().NewReplyParser(request.prompt);
      if (!made.ok()) return ReplyParserError(made.status());
      parser = *std::move(made);
    }
    return std::unique_ptr<AnswerForm>(std::make_unique<ResponsesAnswerForm>(
        ResponsesAnswer(std::move(own_head), request), std::move(parser)));
  };
  return endpoint;
}

}  // namespace

asio::awaitable<void> AnswerGeneration(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange, GenerationEndpoint& endpoint) {
  const auto job = std::make_shared<GenerationJob>(context, caller, exchange.executor());
  exchange.OnDisconnect([job] { job->Cancel(); });
  const bool is_streamed = endpoint.request.fields.stream;
  const int32_t n = endpoint.request.fields.n;
  HttpHeaders headers;
  if (const auto& ignored = endpoint.request.fields.ignored_fields; !ignored.empty()) {
    headers.emplace_back("x-foretoken-ignored-fields", IgnoredFieldsHeader(ignored));
  }
  std::optional<WireError> error = co_await job->Start(endpoint.request);
  for (auto& header : job->rate_limit_headers()) headers.push_back(std::move(header));
  if (error) {
    for (const auto& header : job->retry_headers()) headers.push_back(header);
    if (!job->quota_limit().empty()) {
      headers.emplace_back("x-foretoken-quota", job->quota_limit());
    }
    (void)co_await exchange.Respond(ErrorResponse(*error, std::move(headers)));
    co_return;
  }
  WireResult<std::unique_ptr<AnswerForm>> form = endpoint.make_form(*job);
  if (!form.ok()) {
    job->Cancel();
    (void)co_await job->Finish(form.error().http_status);
    (void)co_await exchange.Respond(ErrorResponse(form.error(), std::move(headers)));
    co_return;
  }
  Answer answer(exchange, *job, **form, n);
  if (is_streamed) {
    co_await answer.Stream(std::move(headers));
  } else {
    co_await answer.Whole(std::move(headers));
  }
}

asio::awaitable<void> AnswerChatCompletion(ApiContext& context, const ApiCaller& caller,
                                           HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseChatCompletionRequest);
  std::optional<WireError> error;
  if (!parsed.ok()) error = parsed.error();
  if (!error) error = RefuseWithoutGrammar(parsed->tools, parsed->format, "response_format");
  if (error) {
    (void)co_await exchange.Respond(ErrorResponse(*error));
    co_return;
  }
  GenerationEndpoint endpoint = EndpointOf(context, *std::move(parsed));
  co_await AnswerGeneration(context, caller, exchange, endpoint);
}

asio::awaitable<void> AnswerCompletion(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseCompletionRequest);
  if (!parsed.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(parsed.error()));
    co_return;
  }
  GenerationEndpoint endpoint = EndpointOf(context, *std::move(parsed));
  co_await AnswerGeneration(context, caller, exchange, endpoint);
}

asio::awaitable<void> AnswerResponses(ApiContext& context, const ApiCaller& caller,
                                      HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseResponsesRequest);
  std::optional<WireError> error;
  if (!parsed.ok()) error = parsed.error();
  if (!error) error = RefuseWithoutGrammar(parsed->tools, parsed->format, "text.format");
  if (error) {
    (void)co_await exchange.Respond(ErrorResponse(*error));
    co_return;
  }
  GenerationEndpoint endpoint = EndpointOf(context, *std::move(parsed));
  co_await AnswerGeneration(context, caller, exchange, endpoint);
}

}  // namespace foretoken
