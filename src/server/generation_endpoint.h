#ifndef FORETOKEN_SERVER_GENERATION_ENDPOINT_H_
#define FORETOKEN_SERVER_GENERATION_ENDPOINT_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "server/answer_form.h"
#include "server/api_context.h"
#include "server/generation_job.h"
#include "server/http_exchange.h"

namespace foretoken {

// What answers a request that generates, besides its job.
struct GenerationEndpoint {
  JobRequest request;
  // The form of the answer to a job that has started, or why it cannot have that form.
  std::function<WireResult<std::unique_ptr<AnswerForm>>(const GenerationJob& job)> make_form;
};

// Runs the job and answers with its form, streamed or whole. A client that goes away cancels it.
// Uses the endpoint up, which must live until it is done.
asio::awaitable<void> AnswerGeneration(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange, GenerationEndpoint& endpoint);

// The endpoints, from a request's body on.
asio::awaitable<void> AnswerChatCompletion(ApiContext& context, const ApiCaller& caller,
                                           HttpExchange& exchange);
asio::awaitable<void> AnswerCompletion(ApiContext& context, const ApiCaller& caller,
                                       HttpExchange& exchange);
asio::awaitable<void> AnswerResponses(ApiContext& context, const ApiCaller& caller,
                                      HttpExchange& exchange);

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_GENERATION_ENDPOINT_H_
