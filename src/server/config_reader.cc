#include "server/config_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace foretoken {
namespace {

struct Unit {
  const char* name;
  int64_t factor;
};
// Largest first.
constexpr Unit kDurations[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}};
constexpr Unit kSizes[] = {{"TiB", int64_t{1} << 40},
                           {"GiB", int64_t{1} << 30},
                           {"MiB", int64_t{1} << 20},
                           {"KiB", int64_t{1} << 10},
                           {"", 1}};

template <typename Number>
std::optional<Number> WholeNumber(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// A whole number followed by one of the units.
template <size_t kCount>
std::optional<int64_t> WithUnit(std::string_view text, const Unit (&units)[kCount]) {
  const auto digits = static_cast<size_t>(
      std::find_if(text.begin(), text.end(), [](char c) { return c < '0' || c > '9'; }) -
      text.begin());
  const std::optional<int64_t> number = WholeNumber<int64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const Unit& unit : units) {
    if (text.substr(digits) != unit.name) continue;
    int64_t product = 0;
    if (__builtin_mul_overflow(*number, unit.factor, &product)) return std::nullopt;
    return product;
  }
  return std::nullopt;
}

template <size_t kCount>
std::string UnitText(int64_t value, const Unit (&units)[kCount]) {
  for (const Unit& unit : units) {
    if (value >= unit.factor && value % unit.factor == 0) {
      return fmt::format("{}{}", value / unit.factor, unit.name);
    }
  }
  return fmt::format("{}{}", value, units[kCount - 1].name);
}

// How many letters have to change; for "did you mean".
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string Quoted(const YAML::Node& node) {
  if (node.IsScalar()) return fmt::format("'{}'", node.Scalar());
  if (node.IsNull()) return "nothing";
  return node.IsMap() ? "a mapping" : "a list";
}

}  // namespace

std::string BytesText(int64_t bytes) {
  return UnitText(bytes, kSizes);
}

std::string DurationText(int64_t ms) {
  return UnitText(ms, kDurations);
}

void ConfigProblems::Add(const YAML::Mark& mark, std::string_view path, std::string_view message) {
  const int line = mark.is_null() ? 0 : mark.line + 1;
  std::string text = line > 0 ? fmt::format("{}:{}: ", file_name_, line) : file_name_ + ": ";
  if (!path.empty()) text += fmt::format("{}: ", path);
  lines_.push_back({line, text.append(message)});
}

std::vector<std::string> ConfigProblems::Sorted() const {
  std::vector<Line> lines = lines_;
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.number < b.number; });
  std::vector<std::string> texts;
  texts.reserve(lines.size());
  for (Line& line : lines) texts.push_back(std::move(line.text));
  return texts;
}

ConfigReader::ConfigReader(const YAML::Node& node, std::string path, ConfigProblems& problems)
    : node_(node.IsMap() ? node : YAML::Node(YAML::NodeType::Map)),
      path_(std::move(path)),
      problems_(problems) {
  if (node.IsDefined() && !node.IsMap() && !node.IsNull()) {
    problems_.Add(node.Mark(), path_,
                  fmt::format("is {}; a mapping is wanted (key: value)", Quoted(node)));
  }
}

ConfigReader::~ConfigReader() {
  for (const auto& field : node_) {
    const YAML::Node& key = field.first;
    const std::string name = key.IsScalar() ? key.Scalar() : "?";
    if (std::find(known_.begin(), known_.end(), name) != known_.end()) continue;
    const auto nearest =
        std::min_element(known_.begin(), known_.end(), [&](const auto& a, const auto& b) {
          return EditDistance(name, a) < EditDistance(name, b);
        });
    const bool is_near = nearest != known_.end() && EditDistance(name, *nearest) <= 2;
    problems_.Add(key.Mark(), PathOf(name),
                  is_near ? fmt::format("is not known; did you mean '{}'?", *nearest)
                          : fmt::format("is not known; known here: {}", fmt::join(known_, ", ")));
  }
}

std::string ConfigReader::PathOf(std::string_view key) const {
  if (key.empty()) return path_;
  return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key);
}

bool ConfigReader::Has(const char* key) const {
  return node_[key].IsDefined();
}

YAML::Node ConfigReader::Take(const char* key) {
  known_.emplace_back(key);
  return node_[key];
}

YAML::Node ConfigReader::Child(const char* key, std::string& path) {
  path = PathOf(key);
  return Take(key);
}

void ConfigReader::Problem(const char* key, std::string_view message) {
  const YAML::Node node = *key == '\0' ? node_ : node_[key];
  problems_.Add(node.IsDefined() ? node.Mark() : node_.Mark(), PathOf(key), message);
}

void ConfigReader::Read(const char* key, std::string& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  if (node.IsScalar() && !node.Scalar().empty()) {
    value = node.Scalar();
  } else {
    Problem(key, fmt::format("is {}; text is wanted", Quoted(node)));
  }
}

void ConfigReader::Read(const char* key, bool& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  if (node.IsScalar() && (node.Scalar() == "true" || node.Scalar() == "false")) {
    value = node.Scalar() == "true";
  } else {
    Problem(key, fmt::format("is {}; true or false is wanted", Quoted(node)));
  }
}

void ConfigReader::Read(const char* key, std::vector<std::string>& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  std::vector<std::string> texts;
  bool is_right = node.IsSequence();
  for (size_t i = 0; is_right && i < node.size(); ++i) {
    is_right = node[i].IsScalar() && !node[i].Scalar().empty();
    if (is_right) texts.push_back(node[i].Scalar());
  }
  if (is_right) {
    value = std::move(texts);
  } else {
    Problem(key, fmt::format("is {}; a list of texts is wanted ([a, b])",
                             node.IsSequence() ? "a list of something else" : Quoted(node)));
  }
}

void ConfigReader::ReadInteger(const char* key, int64_t least, int64_t most, int64_t& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  const auto number = node.IsScalar() ? WholeNumber<int64_t>(node.Scalar()) : std::nullopt;
  if (number && *number >= least && *number <= most) {
    value = *number;
  } else {
    Problem(key, fmt::format("is {}; a whole number from {} to {} is wanted", Quoted(node), least,
                             most));
  }
}

void ConfigReader::ReadInteger(const char* key, int32_t least, int32_t most, int32_t& value) {
  int64_t wide = value;
  ReadInteger(key, int64_t{least}, int64_t{most}, wide);
  value = static_cast<int32_t>(wide);
}

void ConfigReader::ReadNumber(const char* key, double least, double most, double& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  const auto number = node.IsScalar() ? WholeNumber<double>(node.Scalar()) : std::nullopt;
  if (number && std::isfinite(*number) && *number >= least && *number <= most) {
    value = *number;
  } else {
    Problem(key, fmt::format("is {}; a number from {} to {} is wanted", Quoted(node), least, most));
  }
}

void ConfigReader::ReadDuration(const char* key, int64_t least_ms, int64_t most_ms,
                                int64_t& value_ms) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  const auto number = node.IsScalar() ? WithUnit(node.Scalar(), kDurations) : std::nullopt;
  if (number && *number >= least_ms && *number <= most_ms) {
    value_ms = *number;
  } else {
    Problem(key, fmt::format("is {}; a time from {} to {} is wanted, with a unit: ms, s, m, h, d",
                             Quoted(node), DurationText(least_ms), DurationText(most_ms)));
  }
}

void ConfigReader::ReadBytes(const char* key, int64_t least, int64_t most, int64_t& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  const auto number = node.IsScalar() ? WithUnit(node.Scalar(), kSizes) : std::nullopt;
  if (number && *number >= least && *number <= most) {
    value = *number;
  } else {
    Problem(key, fmt::format("is {}; a size from {} to {} is wanted: bytes, or with KiB, MiB, GiB",
                             Quoted(node), BytesText(least), BytesText(most)));
  }
}

void ConfigReader::ReadChoice(const char* key, std::initializer_list<const char*> names,
                              int& value) {
  const YAML::Node node = Take(key);
  if (!node.IsDefined()) return;
  const auto found = std::find_if(names.begin(), names.end(), [&](const char* name) {
    return node.IsScalar() && node.Scalar() == name;
  });
  if (found != names.end()) {
    value = static_cast<int>(std::distance(names.begin(), found));
  } else {
    Problem(key, fmt::format("is {}; one of {} is wanted", Quoted(node), fmt::join(names, ", ")));
  }
}

}  // namespace foretoken
