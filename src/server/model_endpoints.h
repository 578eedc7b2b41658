#ifndef FORETOKEN_SERVER_MODEL_ENDPOINTS_H_
#define FORETOKEN_SERVER_MODEL_ENDPOINTS_H_

#include <boost/asio/awaitable.hpp>

#include "server/api_context.h"
#include "server/http_exchange.h"

namespace foretoken {

// The endpoints about models that generate nothing: lists, tokens of texts, texts of tokens,
// embeddings (which no model here can make: refused).
asio::awaitable<void> AnswerModels(ApiContext& context, const ApiCaller& caller,
                                   HttpExchange& exchange);
asio::awaitable<void> AnswerModel(ApiContext& context, const ApiCaller& caller,
                                  HttpExchange& exchange);
asio::awaitable<void> AnswerEmbeddings(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange);
asio::awaitable<void> AnswerTokenize(ApiContext& context, const ApiCaller& caller,
                                     HttpExchange& exchange);
asio::awaitable<void> AnswerDetokenize(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_MODEL_ENDPOINTS_H_
