#ifndef FORETOKEN_UNIT_SERVER_JSON_SCHEMA_H_
#define FORETOKEN_UNIT_SERVER_JSON_SCHEMA_H_

#include <algorithm>
#include <string>

#include <nlohmann/json.hpp>

namespace foretoken {

// As much of JSON Schema as openapi.json describes answers with: "$ref", "type", "enum", "anyOf",
// "oneOf", "required", "properties", "additionalProperties", "items", "minItems", "minimum",
// "maximum". A property that no schema names is a mistake of the answer's.
class JsonSchema {
 public:
  explicit JsonSchema(const nlohmann::json& document) : document_(document) {}

  // Empty, or the path and the reason of the first thing that is wrong.
  std::string Problem(const nlohmann::json& value, const nlohmann::json& schema,
                      const std::string& path = "$") const {
    if (schema.contains("$ref")) {
      const auto reference = schema["$ref"].get<std::string>();
      return Problem(value, document_.at(nlohmann::json::json_pointer(reference.substr(1))), path);
    }
    for (const char* choice : {"anyOf", "oneOf"}) {
      if (!schema.contains(choice)) continue;
      const auto& options = schema[choice];
      const auto fitting = std::count_if(options.begin(), options.end(), [&](const auto& option) {
        return Problem(value, option, path).empty();
      });
      if (fitting == 0) return path + ": fits nothing of " + choice;
      if (fitting > 1 && choice == std::string("oneOf")) return path + ": fits several";
    }
    if (schema.contains("type") && !HasType(value, schema["type"])) {
      return path + ": is not " + schema["type"].dump();
    }
    if (schema.contains("enum") &&
        std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
      return path + ": is not one of " + schema["enum"].dump();
    }
    if (value.is_number()) {
      if (schema.contains("minimum") && value < schema["minimum"]) return path + ": too small";
      if (schema.contains("maximum") && value > schema["maximum"]) return path + ": too large";
    }
    if (value.is_array()) return ArrayProblem(value, schema, path);
    if (value.is_object()) return ObjectProblem(value, schema, path);
    return "";
  }

 private:
  static bool HasType(const nlohmann::json& value, const nlohmann::json& type) {
    if (type.is_array()) {
      return std::any_of(type.begin(), type.end(),
                         [&value](const auto& each) { return HasType(value, each); });
    }
    if (type == "integer") return value.is_number_integer();
    return type == value.type_name();
  }

  std::string ArrayProblem(const nlohmann::json& value, const nlohmann::json& schema,
                           const std::string& path) const {
    if (schema.contains("minItems") && value.size() < schema["minItems"]) return path + ": too few";
    if (!schema.contains("items")) return "";
    for (size_t i = 0; i < value.size(); ++i) {
      const std::string problem =
          Problem(value[i], schema["items"], path + "[" + std::to_string(i) + "]");
      if (!problem.empty()) return problem;
    }
    return "";
  }

  std::string ObjectProblem(const nlohmann::json& value, const nlohmann::json& schema,
                            const std::string& path) const {
    const nlohmann::json required = schema.value("required", nlohmann::json::array());
    for (const auto& name : required) {
      if (!value.contains(name)) return path + ": lacks " + name.dump();
    }
    if (!schema.contains("properties") && !schema.contains("additionalProperties")) return "";
    const nlohmann::json properties = schema.value("properties", nlohmann::json::object());
    for (const auto& [name, member] : value.items()) {
      const std::string at = path + "." + name;
      std::string problem = at + ": is not described";
      if (properties.contains(name)) {
        problem = Problem(member, properties[name], at);
      } else if (schema.contains("additionalProperties")) {
        problem = Problem(member, schema["additionalProperties"], at);
      }
      if (!problem.empty()) return problem;
    }
    return "";
  }

  const nlohmann::json& document_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_SERVER_JSON_SCHEMA_H_
