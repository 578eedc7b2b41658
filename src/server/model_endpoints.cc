#include "server/model_endpoints.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "server/api_errors.h"
#include "server/model_access.h"
#include "server/openai_list_answers.h"
#include "server/openai_request.h"
#include "server/parse_body.h"

namespace foretoken {
namespace {

ModelEntry EntryOf(const ServedModel& model) {
  return {.id = model.name, .owned_by = "foretoken", .context_tokens = model.target.context_tokens};
}

HttpResponse JsonResponse(std::string body, const std::vector<std::string>& ignored_fields = {}) {
  HttpHeaders headers = {{"content-type", "application/json"}};
  if (!ignored_fields.empty()) {
    headers.emplace_back("x-foretoken-ignored-fields", IgnoredFieldsHeader(ignored_fields));
  }
  return {200, std::move(headers), std::move(body)};
}

// The text of tokens, or which of them the model does not have.
WireResult<std::string> TextOf(const TenantRuntime& runtime, const std::vector<TokenId>& tokens) {
  const int32_t size = runtime.target_info().vocabulary_size;
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= size) {
      return InvalidRequestError(
          fmt::format("tokens[{}]", i),
          fmt::format("{} is no token of this model; it has 0 to {}", tokens[i], size - 1));
    }
    text += runtime.tokenizer().TokenBytes(tokens[i]);
  }
  return text;
}

// A lease for work without tokens of a quota.
asio::awaitable<WireResult<ModelLease>> Acquire(ApiContext& context, const ApiCaller& caller,
                                                HttpExchange& exchange, const std::string& name) {
  bool is_gone = false;
  const ModelWaiter waiter{std::make_shared<WakeSignal>(exchange.executor()), &is_gone};
  exchange.OnDisconnect([&is_gone, signal = waiter.signal] {
    is_gone = true;
    signal->Notify();
  });
  WireResult<ModelLease> lease = co_await AcquireModel(context, caller, name, waiter);
  exchange.OnDisconnect(nullptr);
  co_return lease;
}

}  // namespace

asio::awaitable<void> AnswerModels(ApiContext& context, const ApiCaller& caller,
                                   HttpExchange& exchange) {
  std::vector<ModelEntry> entries;
  for (const ServedModel& model : context.pool.models()) {
    if (FindAllowedModel(context.pool, caller.record(), model.name) != nullptr) {
      entries.push_back(EntryOf(model));
    }
  }
  (void)co_await exchange.Respond(JsonResponse(ModelListBody(entries)));
}

asio::awaitable<void> AnswerModel(ApiContext& context, const ApiCaller& caller,
                                  HttpExchange& exchange) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const std::string name = exchange.request().path.substr(kPrefix.size());
  const ServedModel* const model = FindAllowedModel(context.pool, caller.record(), name);
  if (model == nullptr) {
    (void)co_await exchange.Respond(ErrorResponse(ModelNotFoundError(name)));
    co_return;
  }
  (void)co_await exchange.Respond(JsonResponse(ModelBody(EntryOf(*model))));
}

asio::awaitable<void> AnswerEmbeddings(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseEmbeddingsRequest);
  WireError error;
  if (!parsed.ok()) {
    error = parsed.error();
  } else if (FindAllowedModel(context.pool, caller.record(), parsed->model) == nullptr) {
    error = ModelNotFoundError(parsed->model);
  } else {
    error = InvalidRequestError("model", "this model generates text; it makes no embeddings");
    error.code = "unsupported_model";
  }
  (void)co_await exchange.Respond(ErrorResponse(error));
}

asio::awaitable<void> AnswerTokenize(ApiContext& context, const ApiCaller& caller,
                                     HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseTokenizeRequest);
  if (!parsed.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(parsed.error()));
    co_return;
  }
  const TokenizeRequest& request = *parsed;
  WireResult<ModelLease> lease = co_await Acquire(context, caller, exchange, request.model);
  if (!lease.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(lease.error()));
    co_return;
  }
  const Tokenizer& tokenizer = lease->runtime().tokenizer();
  const auto tokens = co_await OnWorkers(
      context, [&] { return tokenizer.Tokenize(request.prompt, request.add_special); });
  if (!tokens.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(WireErrorOf(tokens.status())));
    co_return;
  }
  TokenizeAnswer answer;
  answer.tokens = *tokens;
  answer.context_tokens = lease->runtime().target_info().context_tokens;
  if (request.with_pieces) {
    answer.pieces.emplace();
    for (const TokenId token : *tokens) answer.pieces->push_back(tokenizer.TokenText(token));
  }
  (void)co_await exchange.Respond(JsonResponse(TokenizeBody(answer), request.ignored_fields));
}

asio::awaitable<void> AnswerDetokenize(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange) {
  auto parsed = co_await ParseBody(context, exchange, ParseDetokenizeRequest);
  if (!parsed.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(parsed.error()));
    co_return;
  }
  const DetokenizeRequest& request = *parsed;
  WireResult<ModelLease> lease = co_await Acquire(context, caller, exchange, request.model);
  if (!lease.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(lease.error()));
    co_return;
  }
  const WireResult<std::string> text =
      co_await OnWorkers(context, [&] { return TextOf(lease->runtime(), request.tokens); });
  if (!text.ok()) {
    (void)co_await exchange.Respond(ErrorResponse(text.error()));
    co_return;
  }
  (void)co_await exchange.Respond(JsonResponse(DetokenizeBody(*text), request.ignored_fields));
}

}  // namespace foretoken
