#include "server/openai_chat_answer.h"

#include "server/wire_text.h"

namespace foretoken {
namespace {

std::string_view ChatFinishReason(FinishReason reason, bool has_tool_calls) {
  return has_tool_calls && reason == FinishReason::kStop ? "tool_calls" : WireFinishReason(reason);
}

void WriteToolCall(WireWriter& writer, const ToolCall& call) {
  writer.BeginObject().Key("id").String(call.id).Key("type").String("function");
  writer.Key("function").BeginObject();
  writer.Key("name").String(call.name).Key("arguments").String(call.arguments);
  writer.EndObject().EndObject();
}

void WriteMessage(WireWriter& writer, const ChatChoice& choice) {
  writer.BeginObject().Key("role").String("assistant").Key("content");
  if (choice.content.empty() && !choice.tool_calls.empty()) {
    writer.Null();
  } else {
    writer.String(choice.content);
  }
  writer.Key("refusal").Null();
  if (!choice.tool_calls.empty()) {
    writer.Key("tool_calls").BeginArray();
    for (const ToolCall& call : choice.tool_calls) WriteToolCall(writer, call);
    writer.EndArray();
  }
  writer.EndObject();
}

}  // namespace

std::string ChatCompletionBody(const AnswerHead& head, std::span<const ChatChoice> choices,
                               const AnswerTotals& totals, const TokenBytes& bytes) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject();
  WriteHead(writer, head, "chat.completion");
  writer.Key("choices").BeginArray();
  int64_t index = 0;
  for (const ChatChoice& choice : choices) {
    writer.BeginObject().Key("index").Integer(index++).Key("message");
    WriteMessage(writer, choice);
    writer.Key("logprobs");
    if (bytes) {
      WriteChatLogprobs(writer, choice.tokens, bytes);
    } else {
      writer.Null();
    }
    writer.Key("finish_reason").String(ChatFinishReason(choice.finish, !choice.tool_calls.empty()));
    writer.EndObject();
  }
  writer.EndArray();
  WriteTotals(writer, totals);
  writer.EndObject();
  return out;
}

ChatChunkWriter::ChatChunkWriter(const AnswerHead& head, bool include_usage)
    : tail_(include_usage ? "}],\"usage\":null}" : "}]}") {
  WireWriter writer(head_);
  writer.BeginObject();
  WriteHead(writer, head, "chat.completion.chunk");
  writer.Key("choices").BeginArray();
}

void ChatChunkWriter::Begin(std::string& out, int32_t choice) const {
  out += head_;
  out += "{\"index\":";
  AppendJsonNumber(out, int64_t{choice});
  out += ",\"delta\":{";
}

void ChatChunkWriter::End(std::string& out, std::string_view finish_reason) const {
  out += ",\"finish_reason\":";
  out += finish_reason;
  out += tail_;
}

void ChatChunkWriter::Role(std::string& out, int32_t choice) const {
  Begin(out, choice);
  out += R"("role":"assistant","content":""},"logprobs":null)";
  End(out, "null");
}

void ChatChunkWriter::Content(std::string& out, int32_t choice, std::string_view text,
                              std::span<const GeneratedToken> tokens,
                              const TokenBytes& bytes) const {
  Begin(out, choice);
  out += "\"content\":";
  AppendJsonString(out, text);
  out += "},\"logprobs\":";
  WireWriter writer(out);
  if (bytes) {
    WriteChatLogprobs(writer, tokens, bytes);
  } else {
    writer.Null();
  }
  End(out, "null");
}

void ChatChunkWriter::ToolCalls(std::string& out, int32_t choice,
                                std::span<const ToolCallDelta> calls) const {
  Begin(out, choice);
  out += "\"tool_calls\":";
  WireWriter writer(out);
  writer.BeginArray();
  for (const ToolCallDelta& call : calls) {
    writer.BeginObject().Key("index").Integer(static_cast<int64_t>(call.index));
    if (!call.id.empty()) writer.Key("id").String(call.id).Key("type").String("function");
    writer.Key("function").BeginObject();
    if (!call.name.empty()) writer.Key("name").String(call.name);
    writer.Key("arguments").String(call.arguments).EndObject().EndObject();
  }
  writer.EndArray();
  out += "},\"logprobs\":null";
  End(out, "null");
}

void ChatChunkWriter::Finish(std::string& out, int32_t choice, FinishReason reason,
                             bool has_tool_calls) const {
  Begin(out, choice);
  out += "},\"logprobs\":null,\"finish_reason\":\"";
  out += ChatFinishReason(reason, has_tool_calls);
  out += '"';
  out += tail_;
}

void ChatChunkWriter::Usage(std::string& out, const AnswerTotals& totals) const {
  out += head_;
  out += ']';
  AppendTotals(out, totals);
}

}  // namespace foretoken
