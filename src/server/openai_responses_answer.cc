#include "server/openai_responses_answer.h"

#include <utility>

#include <fmt/format.h>

namespace foretoken {
namespace {

void WriteTools(WireWriter& writer, const std::vector<ToolDefinition>& tools) {
  writer.BeginArray();
  for (const ToolDefinition& tool : tools) {
    writer.BeginObject().Key("type").String("function").Key("name").String(tool.name);
    writer.Key("description").String(tool.description);
    writer.Key("parameters").Raw(tool.parameters.empty() ? "{}" : tool.parameters);
    writer.Key("strict").Bool(false).EndObject();
  }
  writer.EndArray();
}

void WriteToolChoice(WireWriter& writer, const ToolFields& fields) {
  switch (fields.choice) {
    case ToolChoice::kAuto:
      writer.String("auto");
      return;
    case ToolChoice::kNone:
      writer.String("none");
      return;
    case ToolChoice::kRequired:
      writer.String("required");
      return;
    case ToolChoice::kNamed:
      writer.BeginObject().Key("type").String("function").Key("name").String(fields.name);
      writer.EndObject();
      return;
  }
}

void WriteFormat(WireWriter& writer, const ResponseFormat& format) {
  writer.BeginObject().Key("type");
  switch (format.kind) {
    case ResponseFormatKind::kText:
      writer.String("text");
      break;
    case ResponseFormatKind::kJsonObject:
      writer.String("json_object");
      break;
    case ResponseFormatKind::kJsonSchema:
      writer.String("json_schema").Key("name").String(format.name);
      writer.Key("schema").Raw(format.schema).Key("strict").Bool(format.strict);
      break;
  }
  writer.EndObject();
}

// The keys of a response that say what was asked for.
std::string RequestJson(const ResponsesRequest& request) {
  std::string out;
  WireWriter writer(out);
  const SamplingOptions& sampling = request.common.options.sampling;
  writer.Key("instructions");
  if (request.instructions.empty()) {
    writer.Null();
  } else {
    writer.String(request.instructions);
  }
  writer.Key("max_output_tokens");
  if (request.common.max_tokens) {
    writer.Integer(*request.common.max_tokens);
  } else {
    writer.Null();
  }
  writer.Key("metadata");
  writer.Raw(request.common.metadata.empty() ? "{}" : request.common.metadata);
  writer.Key("parallel_tool_calls").Bool(request.prompt.parallel_tool_calls);
  writer.Key("previous_response_id").Null().Key("store").Bool(false);
  writer.Key("temperature").Float(sampling.temperature).Key("top_p").Float(sampling.top_p);
  writer.Key("text").BeginObject().Key("format");
  WriteFormat(writer, request.format);
  writer.EndObject().Key("tool_choice");
  WriteToolChoice(writer, request.tools);
  writer.Key("tools");
  WriteTools(writer, request.prompt.tools);
  writer.Key("truncation").String("disabled");
  return out;
}

// "resp_x" to "x".
std::string_view IdSuffix(std::string_view id) {
  return id.substr(id.find('_') + 1);
}

void WriteTextPart(WireWriter& writer, std::string_view text) {
  writer.BeginObject().Key("type").String("output_text").Key("text").String(text);
  writer.Key("annotations").BeginArray().EndArray();
  writer.Key("logprobs").BeginArray().EndArray().EndObject();
}

void WriteUsage(WireWriter& writer, const Usage& usage) {
  writer.BeginObject().Key("input_tokens").Integer(usage.prompt_tokens);
  writer.Key("input_tokens_details").BeginObject();
  writer.Key("cached_tokens").Integer(usage.cached_prompt_tokens).EndObject();
  writer.Key("output_tokens").Integer(usage.completion_tokens);
  writer.Key("output_tokens_details").BeginObject();
  writer.Key("reasoning_tokens").Integer(0).EndObject();
  writer.Key("total_tokens").Integer(int64_t{usage.prompt_tokens} + usage.completion_tokens);
  writer.EndObject();
}

}  // namespace

ResponsesAnswer::ResponsesAnswer(AnswerHead head, const ResponsesRequest& request)
    : head_(std::move(head)), request_json_(RequestJson(request)) {}

std::string_view ResponsesAnswer::StatusName() const {
  switch (status_) {
    case Status::kInProgress:
      return "in_progress";
    case Status::kCompleted:
      return "completed";
    case Status::kIncomplete:
      return "incomplete";
    case Status::kFailed:
      break;
  }
  return "failed";
}

// Items know no failure.
std::string_view ResponsesAnswer::ItemStatusName() const {
  return status_ == Status::kFailed ? "incomplete" : StatusName();
}

void ResponsesAnswer::WriteItem(WireWriter& writer, const Item& item,
                                std::string_view status) const {
  writer.BeginObject().Key("id").String(item.id).Key("status").String(status).Key("type");
  if (item.call) {
    writer.String("function_call").Key("call_id").String(item.call->id);
    writer.Key("name").String(item.call->name).Key("arguments").String(item.call->arguments);
  } else {
    writer.String("message").Key("role").String("assistant").Key("content").BeginArray();
    // A message that was only announced has no part yet.
    if (!item.text.empty() || status != "in_progress") WriteTextPart(writer, item.text);
    writer.EndArray();
  }
  writer.EndObject();
}

void ResponsesAnswer::WriteResponse(WireWriter& writer) const {
  writer.BeginObject().Key("id").String(head_.id).Key("object").String("response");
  writer.Key("created_at").Integer(head_.created).Key("status").String(StatusName());
  writer.Key("model").String(head_.model).Raw(request_json_);
  writer.Key("error");
  if (error_) {
    writer.BeginObject().Key("code").String(error_->code.empty() ? "server_error" : error_->code);
    writer.Key("message").String(error_->message).EndObject();
  } else {
    writer.Null();
  }
  writer.Key("incomplete_details");
  if (status_ == Status::kIncomplete) {
    writer.BeginObject().Key("reason").String("max_output_tokens").EndObject();
  } else {
    writer.Null();
  }
  writer.Key("output").BeginArray();
  for (const Item& item : items_) {
    WriteItem(writer, item, &item == &items_.back() ? ItemStatusName() : "completed");
  }
  writer.EndArray().Key("usage");
  if (totals_) {
    WriteUsage(writer, totals_->usage);
    WriteExtensions(writer, *totals_);
  } else {
    writer.Null();
  }
  writer.EndObject();
}

std::string ResponsesAnswer::Body() const {
  std::string out;
  WireWriter writer(out);
  WriteResponse(writer);
  return out;
}

template <typename Write>
void ResponsesAnswer::Send(std::vector<Event>& events, std::string_view name, Write write) {
  Event& event = events.emplace_back();
  event.name = name;
  WireWriter writer(event.data);
  writer.BeginObject().Key("type").String(name);
  writer.Key("sequence_number").Integer(sequence_number_++);
  write(writer);
  writer.EndObject();
}

template <typename Write>
void ResponsesAnswer::SendOfItem(std::vector<Event>& events, std::string_view name, Write write) {
  Send(events, name, [&](WireWriter& writer) {
    writer.Key("output_index").Integer(static_cast<int64_t>(items_.size()) - 1);
    writer.Key("item_id").String(items_.back().id);
    if (!items_.back().call) writer.Key("content_index").Integer(0);
    write(writer);
  });
}

void ResponsesAnswer::SendResponse(std::vector<Event>& events, std::string_view name) {
  Send(events, name, [this](WireWriter& writer) {
    writer.Key("response");
    WriteResponse(writer);
  });
}

std::vector<ResponsesAnswer::Event> ResponsesAnswer::Begin() {
  std::vector<Event> events;
  SendResponse(events, "response.created");
  SendResponse(events, "response.in_progress");
  return events;
}

std::vector<ResponsesAnswer::Event> ResponsesAnswer::Add(const ReplyDelta& delta) {
  std::vector<Event> events;
  if (!delta.content.empty()) AddText(events, delta.content);
  for (const ToolCallDelta& call : delta.tool_calls) AddCall(events, call);
  return events;
}

void ResponsesAnswer::BeginItem(std::vector<Event>& events, Item item) {
  EndItem(events);
  item.id = fmt::format("{}_{}_{}", item.call ? "fc" : "msg", IdSuffix(head_.id), items_.size());
  items_.push_back(std::move(item));
  Send(events, "response.output_item.added", [this](WireWriter& writer) {
    writer.Key("output_index").Integer(static_cast<int64_t>(items_.size()) - 1).Key("item");
    WriteItem(writer, items_.back(), "in_progress");
  });
  if (items_.back().call) return;
  SendOfItem(events, "response.content_part.added", [](WireWriter& writer) {
    writer.Key("part");
    WriteTextPart(writer, "");
  });
}

void ResponsesAnswer::EndItem(std::vector<Event>& events) {
  if (items_.empty()) return;
  const Item& item = items_.back();
  if (item.call) {
    SendOfItem(events, "response.function_call_arguments.done", [&item](WireWriter& writer) {
      writer.Key("name").String(item.call->name).Key("arguments").String(item.call->arguments);
    });
  } else {
    SendOfItem(events, "response.output_text.done", [&item](WireWriter& writer) {
      writer.Key("text").String(item.text).Key("logprobs").BeginArray().EndArray();
    });
    SendOfItem(events, "response.content_part.done", [&item](WireWriter& writer) {
      writer.Key("part");
      WriteTextPart(writer, item.text);
    });
  }
  Send(events, "response.output_item.done", [&](WireWriter& writer) {
    writer.Key("output_index").Integer(static_cast<int64_t>(items_.size()) - 1).Key("item");
    WriteItem(writer, item, status_ == Status::kInProgress ? "completed" : ItemStatusName());
  });
}

void ResponsesAnswer::AddText(std::vector<Event>& events, std::string_view text) {
  if (items_.empty() || items_.back().call) BeginItem(events, {});
  items_.back().text += text;
  SendOfItem(events, "response.output_text.delta", [text](WireWriter& writer) {
    writer.Key("delta").String(text).Key("logprobs").BeginArray().EndArray();
  });
}

void ResponsesAnswer::AddCall(std::vector<Event>& events, const ToolCallDelta& delta) {
  if (delta.index == calls_) {
    ++calls_;
    BeginItem(events, {.call = ToolCall{delta.id, delta.name, ""}});
  }
  // Pieces of a call come one after another; another's has nowhere to go.
  if (delta.index + 1 != calls_ || !items_.back().call || delta.arguments.empty()) return;
  items_.back().call->arguments += delta.arguments;
  SendOfItem(events, "response.function_call_arguments.delta",
             [&delta](WireWriter& writer) { writer.Key("delta").String(delta.arguments); });
}

std::vector<ResponsesAnswer::Event> ResponsesAnswer::Finish(FinishReason reason,
                                                            const AnswerTotals& totals) {
  std::vector<Event> events;
  // An answer without a word is a message all the same.
  if (items_.empty()) BeginItem(events, {});
  const bool whole = reason == FinishReason::kStop;
  status_ = whole ? Status::kCompleted : Status::kIncomplete;
  totals_ = totals;
  EndItem(events);
  SendResponse(events, whole ? "response.completed" : "response.incomplete");
  return events;
}

std::vector<ResponsesAnswer::Event> ResponsesAnswer::Fail(const WireError& error) {
  std::vector<Event> events;
  status_ = Status::kFailed;
  error_ = error;
  SendResponse(events, "response.failed");
  return events;
}

}  // namespace foretoken
