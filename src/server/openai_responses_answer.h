#ifndef FORETOKEN_SERVER_OPENAI_RESPONSES_ANSWER_H_
#define FORETOKEN_SERVER_OPENAI_RESPONSES_ANSWER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "foretoken/reply_parser.h"
#include "server/openai_answer.h"
#include "server/openai_responses_request.h"
#include "server/wire_error.h"

namespace foretoken {

// One response of the responses API, from its creation to its end: what it holds by now, and the
// events that a stream of it sends. Its output is messages and calls of functions, as they came.
// Every function that changes it returns the events of the change, in order; without streaming they
// are not needed. A plain object; one thread.
class ResponsesAnswer {
 public:
  // An event as a stream sends it: its name and its data, JSON with a sequence number.
  struct Event {
    std::string_view name;
    std::string data;
  };

  // `head.id` begins with "resp_"; the ids of the output are made from what follows.
  ResponsesAnswer(AnswerHead head, const ResponsesRequest& request);

  std::vector<Event> Begin();
  std::vector<Event> Add(const ReplyDelta& delta);
  // It ended by itself or at a limit: response.completed or response.incomplete.
  std::vector<Event> Finish(FinishReason reason, const AnswerTotals& totals);
  // It failed midway: response.failed.
  std::vector<Event> Fail(const WireError& error);

  // The response object as it is now.
  std::string Body() const;

 private:
  enum class Status { kInProgress, kCompleted, kIncomplete, kFailed };
  // A message with one part of text, or a call.
  struct Item {
    std::string id;
    std::string text;
    std::optional<ToolCall> call;
  };

  std::string_view StatusName() const;
  std::string_view ItemStatusName() const;
  void WriteItem(WireWriter& writer, const Item& item, std::string_view status) const;
  void WriteResponse(WireWriter& writer) const;

  // Appends an event; `write` writes its own keys.
  template <typename Write>
  void Send(std::vector<Event>& events, std::string_view name, Write write);
  // The same about the last item.
  template <typename Write>
  void SendOfItem(std::vector<Event>& events, std::string_view name, Write write);
  void SendResponse(std::vector<Event>& events, std::string_view name);
  void BeginItem(std::vector<Event>& events, Item item);
  void EndItem(std::vector<Event>& events);
  void AddText(std::vector<Event>& events, std::string_view text);
  void AddCall(std::vector<Event>& events, const ToolCallDelta& delta);

  const AnswerHead head_;
  const std::string request_json_;  // the keys that repeat the request, without brackets
  Status status_ = Status::kInProgress;
  std::vector<Item> items_;  // all but the last are done
  size_t calls_ = 0;         // of them
  std::optional<AnswerTotals> totals_;
  std::optional<WireError> error_;
  int64_t sequence_number_ = 0;
};

}  // namespace foretoken

#endif  // FORETOKEN_SERVER_OPENAI_RESPONSES_ANSWER_H_
