#include "result_json.h"

#include <string>

namespace foretoken {
namespace {

using Json = nlohmann::ordered_json;

Json CountsToJson(const DraftCounts& counts) {
  return {{"drafted", counts.drafted}, {"accepted", counts.accepted}};
}

Json LogprobsToJson(const std::vector<GeneratedToken>& tokens) {
  Json list = Json::array();
  for (const GeneratedToken& token : tokens) {
    Json top = Json::array();
    for (const TokenLogprob& entry : token.top_logprobs) {
      top.push_back({{"token_id", entry.token}, {"logprob", entry.logprob}});
    }
    list.push_back({{"token_id", token.id},
                    {"text", token.text},
                    {"logprob", token.logprob ? Json(*token.logprob) : Json()},
                    {"top", std::move(top)}});
  }
  return list;
}

}  // namespace

Json SpeculationToJson(const SpeculationStats& stats) {
  Json by_source = Json::object();
  for (const auto& [kind, counts] : stats.by_source) {
    by_source[std::string(DraftSourceKindName(kind))] = CountsToJson(counts);
  }
  Json by_position = Json::array();
  for (const DraftCounts& counts : stats.by_position) by_position.push_back(CountsToJson(counts));
  return {{"drafted", stats.drafted}, {"accepted", stats.accepted}, {"rejected", stats.rejected},
          {"bonus", stats.bonus},     {"rounds", stats.rounds},     {"tau", stats.tau},
          {"by_source", by_source},   {"by_position", by_position}};
}

Json ErrorToJson(const Status& status) {
  return {{"code", StatusCodeName(status.code())}, {"message", status.message()}};
}

Json ResultToJson(const GenerationResult& result) {
  const FinishedEvent& finish = result.finish;
  Json token_ids = Json::array();
  bool has_logprobs = false;
  for (const GeneratedToken& token : result.tokens) {
    token_ids.push_back(token.id);
    has_logprobs = has_logprobs || token.logprob.has_value();
  }
  const Timings& t = finish.timings;
  Json json = {
      {"text", result.text},
      {"token_ids", std::move(token_ids)},
      {"finish_reason", FinishReasonName(finish.reason)},
      {"usage",
       {{"prompt_tokens", finish.usage.prompt_tokens},
        {"completion_tokens", finish.usage.completion_tokens}}},
      {"timings",
       {{"prompt_ms", t.prompt_ms},
        {"decode_ms", t.decode_ms},
        {"decode_tokens_per_second", t.decode_tokens_per_second},
        {"first_token_ms", t.first_token_ms},
        {"draft_ms", t.draft_ms},
        {"verify_ms", t.verify_ms},
        {"sample_ms", t.sample_ms}}},
      {"speculation", SpeculationToJson(finish.speculation)},
      {"seed", finish.seed},
      {"warnings", finish.warnings},
  };
  if (has_logprobs) json["logprobs"] = LogprobsToJson(result.tokens);
  if (finish.reason == FinishReason::kError) json["error"] = ErrorToJson(finish.status);
  return json;
}

std::string DumpJson(const Json& json, bool indented) {
  return json.dump(indented ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace foretoken
