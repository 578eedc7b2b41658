#ifndef FORETOKEN_FORETOKEN_RESULT_JSON_H_
#define FORETOKEN_FORETOKEN_RESULT_JSON_H_

#include <string>

#include <nlohmann/json.hpp>

#include "foretoken/generation.h"

namespace foretoken {

// The object that `foretoken run --json` prints; docs/cli.md lists its fields. `error` is there
// only when the generation failed.
nlohmann::ordered_json ResultToJson(const GenerationResult& result);
nlohmann::ordered_json SpeculationToJson(const SpeculationStats& stats);
nlohmann::ordered_json ErrorToJson(const Status& status);

// On one line, or indented. Bytes that are not UTF-8 become U+FFFD.
std::string DumpJson(const nlohmann::ordered_json& json, bool indented = false);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_RESULT_JSON_H_
