#include "server/openai_completion_answer.h"

#include "server/wire_text.h"

namespace foretoken {

std::string CompletionBody(const AnswerHead& head, std::span<const CompletionChoice> choices,
                           const AnswerTotals& totals, const TokenBytes& bytes) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject();
  WriteHead(writer, head, "text_completion");
  writer.Key("choices").BeginArray();
  int64_t index = 0;
  for (const CompletionChoice& choice : choices) {
    writer.BeginObject().Key("index").Integer(index++);
    writer.Key("text").String(choice.text).Key("logprobs");
    int64_t text_offset = 0;
    if (bytes) {
      WriteLegacyLogprobs(writer, choice.tokens, bytes, text_offset);
    } else {
      writer.Null();
    }
    writer.Key("finish_reason").String(WireFinishReason(choice.finish)).EndObject();
  }
  writer.EndArray();
  WriteTotals(writer, totals);
  writer.EndObject();
  return out;
}

CompletionChunkWriter::CompletionChunkWriter(const AnswerHead& head, bool include_usage)
    : tail_(include_usage ? "}],\"usage\":null}" : "}]}") {
  WireWriter writer(head_);
  writer.BeginObject();
  WriteHead(writer, head, "text_completion");
  writer.Key("choices").BeginArray();
}

void CompletionChunkWriter::Begin(std::string& out, int32_t choice, std::string_view text) const {
  out += head_;
  out += "{\"index\":";
  AppendJsonNumber(out, int64_t{choice});
  out += ",\"text\":";
  AppendJsonString(out, text);
  out += ",\"logprobs\":";
}

void CompletionChunkWriter::Text(std::string& out, int32_t choice, std::string_view text) const {
  Begin(out, choice, text);
  out += "null,\"finish_reason\":null";
  out += tail_;
}

void CompletionChunkWriter::TextWithLogprobs(std::string& out, int32_t choice,
                                             const TokensEvent& event, const TokenBytes& bytes,
                                             int64_t& text_offset) const {
  Begin(out, choice, event.text);
  WireWriter writer(out);
  WriteLegacyLogprobs(writer, event.tokens, bytes, text_offset);
  out += ",\"finish_reason\":null";
  out += tail_;
}

void CompletionChunkWriter::Finish(std::string& out, int32_t choice, FinishReason reason) const {
  Begin(out, choice, "");
  out += "null,\"finish_reason\":\"";
  out += WireFinishReason(reason);
  out += '"';
  out += tail_;
}

void CompletionChunkWriter::Usage(std::string& out, const AnswerTotals& totals) const {
  out += head_;
  out += ']';
  AppendTotals(out, totals);
}

}  // namespace foretoken
