#include "server/openai_answer.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/utf8.h"

namespace foretoken {
namespace {

void WriteDraftCounts(WireWriter& writer, int64_t drafted, int64_t accepted) {
  writer.Key("drafted").Integer(drafted).Key("accepted").Integer(accepted);
  writer.Key("rejected").Integer(drafted - accepted);
}

void WriteUsage(WireWriter& writer, const AnswerTotals& totals) {
  const Usage& usage = totals.usage;
  const auto found = totals.speculation.by_source.find(DraftSourceKind::kPrediction);
  const DraftCounts predicted =
      found == totals.speculation.by_source.end() ? DraftCounts() : found->second;
  writer.Key("usage").BeginObject();
  writer.Key("prompt_tokens").Integer(usage.prompt_tokens);
  writer.Key("completion_tokens").Integer(usage.completion_tokens);
  writer.Key("total_tokens").Integer(int64_t{usage.prompt_tokens} + usage.completion_tokens);
  writer.Key("prompt_tokens_details").BeginObject();
  writer.Key("cached_tokens").Integer(usage.cached_prompt_tokens);
  writer.EndObject();
  writer.Key("completion_tokens_details").BeginObject();
  writer.Key("accepted_prediction_tokens").Integer(predicted.accepted);
  writer.Key("rejected_prediction_tokens").Integer(predicted.drafted - predicted.accepted);
  writer.EndObject();
  writer.EndObject();
}

void WriteSpeculation(WireWriter& writer, const AnswerTotals& totals) {
  const SpeculationStats& speculation = totals.speculation;
  writer.Key("speculation").BeginObject();
  WriteDraftCounts(writer, speculation.drafted, speculation.accepted);
  writer.Key("rounds").Integer(speculation.rounds);
  writer.Key("tau").Number(speculation.tau);
  writer.Key("by_source").BeginObject();
  for (const auto& [source, counts] : speculation.by_source) {
    writer.Key(DraftSourceKindName(source)).BeginObject();
    WriteDraftCounts(writer, counts.drafted, counts.accepted);
    writer.EndObject();
  }
  writer.EndObject();
  if (!totals.warnings.empty()) {
    writer.Key("warnings").BeginArray();
    for (const std::string& warning : totals.warnings) writer.String(warning);
    writer.EndArray();
  }
  writer.EndObject();
}

void WriteTokenLogprob(WireWriter& writer, const std::string& bytes, float logprob) {
  writer.Key("token").String(bytes).Key("logprob").Float(logprob);
  writer.Key("bytes").BeginArray();
  for (const char byte : bytes) writer.Integer(static_cast<unsigned char>(byte));
  writer.EndArray();
}

std::string LegacyToken(std::string bytes) {
  if (IsValidUtf8(bytes)) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// A token as the legacy form lists it.
struct LegacyTokenText {
  const GeneratedToken* token;
  std::string bytes;
};

// Different tokens may have the same text: the most likely one's counts.
void WriteLegacyTop(WireWriter& writer, const GeneratedToken& token, const TokenBytes& bytes) {
  std::set<std::string> seen;
  writer.BeginObject();
  for (const TokenLogprob& top : token.top_logprobs) {
    const std::string text = LegacyToken(bytes(top.token));
    if (!seen.insert(text).second) continue;
    writer.Key(text).Float(top.logprob);
  }
  writer.EndObject();
}

}  // namespace

void AnswerTotals::Add(const FinishedEvent& finish, bool first_of_prompt) {
  if (first_of_prompt) {
    usage.prompt_tokens += finish.usage.prompt_tokens;
    usage.cached_prompt_tokens += finish.usage.cached_prompt_tokens;
  }
  usage.completion_tokens += finish.usage.completion_tokens;
  const SpeculationStats& more = finish.speculation;
  const int64_t rounds = speculation.rounds + more.rounds;
  if (rounds > 0) {
    speculation.tau = (speculation.tau * static_cast<double>(speculation.rounds) +
                       more.tau * static_cast<double>(more.rounds)) /
                      static_cast<double>(rounds);
  }
  speculation.rounds = rounds;
  speculation.drafted += more.drafted;
  speculation.accepted += more.accepted;
  for (const auto& [source, counts] : more.by_source) {
    speculation.by_source[source].drafted += counts.drafted;
    speculation.by_source[source].accepted += counts.accepted;
  }
  seed = finish.seed;
  for (const std::string& warning : finish.warnings) {
    if (std::find(warnings.begin(), warnings.end(), warning) == warnings.end()) {
      warnings.push_back(warning);
    }
  }
}

std::string_view WireFinishReason(FinishReason reason) {
  return reason == FinishReason::kStop ? "stop" : "length";
}

void WriteExtensions(WireWriter& writer, const AnswerTotals& totals) {
  // As the request has it, which is signed.
  if (totals.seed) writer.Key("seed").Integer(static_cast<int64_t>(*totals.seed));
  WriteSpeculation(writer, totals);
}

void WriteTotals(WireWriter& writer, const AnswerTotals& totals) {
  WriteUsage(writer, totals);
  WriteExtensions(writer, totals);
}

void AppendTotals(std::string& out, const AnswerTotals& totals) {
  out += ',';
  WireWriter writer(out);
  WriteTotals(writer, totals);
  writer.EndObject();
}

void WriteHead(WireWriter& writer, const AnswerHead& head, std::string_view object) {
  writer.Key("id").String(head.id).Key("object").String(object);
  writer.Key("created").Integer(head.created).Key("model").String(head.model);
  writer.Key("system_fingerprint").String(head.system_fingerprint);
}

void WriteChatLogprobs(WireWriter& writer, std::span<const GeneratedToken> tokens,
                       const TokenBytes& bytes) {
  writer.BeginObject().Key("content").BeginArray();
  for (const GeneratedToken& token : tokens) {
    const std::string text = bytes(token.id);
    if (text.empty() || !token.logprob) continue;
    writer.BeginObject();
    WriteTokenLogprob(writer, text, *token.logprob);
    writer.Key("top_logprobs").BeginArray();
    for (const TokenLogprob& top : token.top_logprobs) {
      writer.BeginObject();
      WriteTokenLogprob(writer, bytes(top.token), top.logprob);
      writer.EndObject();
    }
    writer.EndArray().EndObject();
  }
  writer.EndArray().Key("refusal").Null().EndObject();
}

void WriteLegacyLogprobs(WireWriter& writer, std::span<const GeneratedToken> tokens,
                         const TokenBytes& bytes, int64_t& text_offset) {
  std::vector<LegacyTokenText> listed;
  for (const GeneratedToken& token : tokens) {
    std::string text = bytes(token.id);
    if (!text.empty() && token.logprob) listed.push_back({&token, std::move(text)});
  }
  writer.BeginObject().Key("tokens").BeginArray();
  for (const LegacyTokenText& each : listed) writer.String(LegacyToken(each.bytes));
  writer.EndArray().Key("token_logprobs").BeginArray();
  for (const LegacyTokenText& each : listed) writer.Float(*each.token->logprob);
  writer.EndArray().Key("top_logprobs").BeginArray();
  for (const LegacyTokenText& each : listed) WriteLegacyTop(writer, *each.token, bytes);
  writer.EndArray().Key("text_offset").BeginArray();
  for (const LegacyTokenText& each : listed) {
    writer.Integer(text_offset);
    // A character begins with each byte that does not continue one.
    text_offset += std::count_if(each.bytes.begin(), each.bytes.end(), [](char byte) {
      return (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    });
  }
  writer.EndArray().EndObject();
}

}  // namespace foretoken
