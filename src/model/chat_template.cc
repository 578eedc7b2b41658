#include "model/chat_template.h"

// The only file that includes headers of llama.cpp's `common`.
#include <chat-auto-parser.h>
#include <chat.h>
#include <log.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_depth.h"

namespace foretoken {
namespace {

// What a template needs of the messages before it sees them.
std::vector<ChatMessage> Adapt(std::vector<ChatMessage> messages,
                               const common_chat_template& chat_template) {
  // The one family of templates that knows developers tells them by this marker.
  const bool knows_developers = chat_template.source().find("<|channel|>") != std::string::npos;
  for (ChatMessage& message : messages) {
    if (message.role == "developer" && !knows_developers) message.role = "system";
  }
  if (!chat_template.caps.supports_system_role && messages.size() > 1 &&
      messages[0].role == "system") {
    messages[1].content = messages[0].content + "\n" + messages[1].content;
    messages.erase(messages.begin());
  }
  return messages;
}

// The text filtered where it is a value or a key, at any depth.
common_json Filtered(const common_json& json, const ChatTextFilter& filter) {
  if (json.is_string()) return common_json::make(filter(json.get<std::string>()));
  if (json.is_array()) {
    common_json array = common_json::array();
    for (size_t i = 0; i < json.size(); ++i) array.push_back(Filtered(json.at(i), filter));
    return array;
  }
  if (json.is_object()) {
    common_json object = common_json::object();
    for (const auto& [key, value] : json.items()) object[filter(key)] = Filtered(value, filter);
    return object;
  }
  return json;
}

// The JSON object that `text` is, or nothing.
std::optional<common_json> ParseObject(const std::string& text) {
  if (IsJsonTooDeep(text)) return std::nullopt;
  common_json json = common_json::parse_no_throw(text);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  return json;
}

common_json CallsJson(const std::vector<ToolCall>& calls) {
  common_json array = common_json::array();
  for (const ToolCall& call : calls) {
    common_json function = common_json::object();
    function["name"] = call.name;
    // Parsed even for templates that want text: what is escaped in it has to be filtered too.
    std::optional<common_json> arguments = ParseObject(call.arguments);
    function["arguments"] = arguments ? *std::move(arguments) : common_json::make(call.arguments);
    common_json entry = common_json::object();
    entry["id"] = call.id;
    entry["type"] = "function";
    entry["function"] = std::move(function);
    array.push_back(entry);
  }
  return array;
}

common_json MessagesJson(const std::vector<ChatMessage>& messages) {
  common_json array = common_json::array();
  for (const ChatMessage& message : messages) {
    common_json entry = common_json::object();
    entry["role"] = message.role;
    entry["content"] = message.content;
    if (!message.tool_calls.empty()) entry["tool_calls"] = CallsJson(message.tool_calls);
    if (!message.tool_call_id.empty()) entry["tool_call_id"] = message.tool_call_id;
    if (!message.name.empty()) entry["name"] = message.name;
    array.push_back(entry);
  }
  return array;
}

// Templates that take no objects get the arguments of calls as text.
void SpellArguments(common_json& messages) {
  for (size_t i = 0; i < messages.size(); ++i) {
    common_json& message = messages.at(i);
    if (!message.contains("tool_calls")) continue;
    for (size_t j = 0; j < message.at("tool_calls").size(); ++j) {
      common_json& function = message.at("tool_calls").at(j).at("function");
      common_json& arguments = function.at("arguments");
      if (!arguments.is_string()) arguments = arguments.dump_safe();
    }
  }
}

Result<common_json> ToolsJson(const std::vector<ToolDefinition>& tools) {
  common_json array = common_json::array();
  for (const ToolDefinition& tool : tools) {
    std::optional<common_json> parameters = ParseObject(
        tool.parameters.empty() ? R"({"type":"object","properties":{}})" : tool.parameters);
    if (!parameters) {
      return InvalidArgumentError("the parameters of tool '" + tool.name +
                                  "' are not a JSON object");
    }
    common_json function = common_json::object();
    function["name"] = tool.name;
    function["description"] = tool.description;
    function["parameters"] = *std::move(parameters);
    common_json entry = common_json::object();
    entry["type"] = "function";
    entry["function"] = std::move(function);
    array.push_back(entry);
  }
  return array;
}

Result<autoparser::generation_params> TemplateInputs(const common_chat_template& chat_template,
                                                     const ChatPrompt& prompt,
                                                     const ChatTextFilter& filter) {
  if (prompt.messages.empty()) return InvalidArgumentError("a chat needs at least one message");
  if (!prompt.tools.empty() && !chat_template.caps.supports_tools) {
    return InvalidArgumentError("the model's chat template has no place for tools");
  }
  autoparser::generation_params params;
  params.messages = MessagesJson(Adapt(prompt.messages, chat_template));
  if (!prompt.tools.empty()) {
    Result<common_json> tools = ToolsJson(prompt.tools);
    if (!tools.ok()) return tools.status();
    params.tools = std::move(tools).value();
  }
  if (filter) {
    params.messages = Filtered(params.messages, filter);
    if (!prompt.tools.empty()) params.tools = Filtered(params.tools, filter);
  }
  if (!chat_template.caps.supports_object_arguments) SpellArguments(params.messages);
  params.parallel_tool_calls = prompt.parallel_tool_calls;
  params.reasoning_format = COMMON_REASONING_FORMAT_NONE;
  params.add_generation_prompt = true;
  return params;
}

std::string NewCallId() {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::random_device device;
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id = "call_";
  for (int i = 0; i < 24; ++i) id += kLetters[letter(device)];
  return id;
}

constexpr std::string_view kSpace = " \t\r\n";

std::string_view WithoutLeadingSpace(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of(kSpace), text.size()));
}

// Objects and arrays inside each other in a call; the parser below takes some 2.5 KB of stack each.
constexpr int kMaxReplyDepth = 128;

// Text that can hold no call is passed on as it comes. From where one may have begun, the whole
// text is parsed again with every piece: the parser under it has no other way. What it says of a
// beginning may change with more text only by growing; where it does not, nothing is said.
class TemplateReplyParser : public ReplyParser {
 public:
  // No call begins without `marker`; empty: it is not known how one begins.
  TemplateReplyParser(common_chat_parser_params syntax, std::string marker)
      : syntax_(std::move(syntax)), marker_(std::move(marker)) {}

  ReplyDelta Push(std::string_view text) override {
    const size_t from = text_.size() - std::min(text_.size(), marker_.size());
    text_ += text;
    ReplyDelta delta;
    if (marker_met_) {
      nesting_.Add(text);
    } else if (const size_t marker = text_.find(marker_, from); marker != std::string::npos) {
      marker_met_ = true;
      nesting_.Add(std::string_view(text_).substr(marker));
      delta.content = PassOn(marker);
    } else {
      delta.content = PassOn(text_.size() - BegunMarkerLength());
    }
    if (marker_met_) Advance(/*is_partial=*/true, delta);
    return delta;
  }

  ReplyDelta Finish() override {
    ReplyDelta delta;
    if (marker_met_) Advance(/*is_partial=*/false, delta);
    if (!said_.tool_calls.empty()) return delta;
    // Without a call all text is content, such as the beginning of a marker that did not go on.
    content_.resize(content_.size() - delta.content.size());
    for (const std::string_view text : {std::string_view(text_), WithoutLeadingSpace(text_)}) {
      if (text.starts_with(content_)) return {.content = std::string(text.substr(content_.size()))};
    }
    return delta;
  }

 private:
  // Of the text's end: as much as a marker may begin with.
  size_t BegunMarkerLength() const {
    size_t length = std::min(text_.size(), marker_.size());
    while (!text_.ends_with(std::string_view(marker_).substr(0, length))) --length;
    return length;
  }

  // The content up to `end` that was not passed on yet; space at its end waits, since the parser
  // may drop it before a call.
  std::string PassOn(size_t end) {
    const size_t length = std::string_view(text_).substr(0, end).find_last_not_of(kSpace) + 1;
    if (length <= content_.size()) return "";
    std::string more = text_.substr(content_.size(), length - content_.size());
    content_ += more;
    return more;
  }

  // Adds what the parser says now and did not before.
  void Advance(bool is_partial, ReplyDelta& delta) {
    if (nesting_.deepest() > kMaxReplyDepth) return;
    try {
      common_chat_msg message = common_chat_parse(text_, is_partial, syntax_);
      message.set_tool_call_ids(call_ids_, NewCallId);
      AgreeOnContent(message);
      const auto diffs = common_chat_msg_diff::compute_diffs(said_, message);
      for (const common_chat_msg_diff& diff : diffs) {
        delta.content += diff.content_delta;
        content_ += diff.content_delta;
        if (diff.tool_call_index == std::string::npos) continue;
        delta.tool_calls.push_back({diff.tool_call_index, diff.tool_call_delta.id,
                                    diff.tool_call_delta.name, diff.tool_call_delta.arguments});
      }
      said_ = std::move(message);
    } catch (const std::exception&) {
      // Not of the form, or not yet.
    }
  }

  // Most parsers drop space before content. Where this one says something else than what was passed
  // on, it is no use to say it: the calls are what counts.
  void AgreeOnContent(const common_chat_msg& message) {
    for (const std::string_view passed :
         {std::string_view(content_), WithoutLeadingSpace(content_)}) {
      if (!message.content.starts_with(passed)) continue;
      said_.content = passed;
      return;
    }
    said_.content = message.content;
  }

  const common_chat_parser_params syntax_;
  const std::string marker_;
  std::string text_;
  bool marker_met_ = false;
  NestingBound nesting_;  // from the marker on
  common_chat_msg said_;
  std::string content_;  // passed on
  std::vector<std::string> call_ids_;
};

// What every call begins with, if the template shows such a thing.
std::string CallMarker(const autoparser::autoparser& analysis) {
  const auto& format = analysis.tools.format;
  if (format.openai_wrapper_trigger) return "";
  const std::string_view marker = WithoutLeadingSpace(
      !format.section_start.empty() ? format.section_start : format.per_call_start);
  return std::string(marker.substr(0, marker.find_last_not_of(kSpace) + 1));
}

}  // namespace

struct ChatTemplate::Parsed {
  Parsed(const std::string& source, const std::string& begin_of_text,
         const std::string& end_of_text)
      : chat_template(source, begin_of_text, end_of_text) {}

  common_chat_template chat_template;
  // How calls look, found by rendering made-up conversations; done once, for the first who asks.
  std::once_flag analysed;
  autoparser::autoparser analysis;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Parsed> parsed) : parsed_(std::move(parsed)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::Parse(const std::string& source,
                                         const std::string& begin_of_text,
                                         const std::string& end_of_text) {
  // It would print. Once, as it may not be called twice at a time.
  static const bool quiet = (common_log_set_verbosity_thold(-1), true);
  (void)quiet;
  try {
    return ChatTemplate(std::make_unique<Parsed>(source, begin_of_text, end_of_text));
  } catch (const std::exception& error) {
    return FailedPreconditionError(std::string("the model's chat template cannot be parsed: ") +
                                   error.what());
  }
}

Result<std::string> ChatTemplate::Render(const ChatPrompt& prompt,
                                         const ChatTextFilter& filter) const {
  try {
    const auto params = TemplateInputs(parsed_->chat_template, prompt, filter);
    if (!params.ok()) return params.status();
    return common_chat_template_direct_apply(parsed_->chat_template, *params);
  } catch (const std::exception& error) {
    return FailedPreconditionError(
        std::string("the model's chat template refused these messages: ") + error.what());
  }
}

Result<std::unique_ptr<ReplyParser>> ChatTemplate::NewReplyParser(
    const ChatPrompt& prompt, const ControlTexts& control_texts) const {
  const common_chat_template& chat_template = parsed_->chat_template;
  try {
    auto params = TemplateInputs(chat_template, prompt, nullptr);
    if (!params.ok()) return params.status();
    common_chat_parser_params syntax;
    std::vector<std::string> markers;
    std::string call_marker;
    if (const auto special =
            common_chat_try_specialized_template(chat_template, chat_template.source(), *params)) {
      syntax = common_chat_parser_params(*special);
      syntax.parser.load(special->parser);
      markers = special->preserved_tokens;
    } else {
      std::call_once(parsed_->analysed,
                     [this] { parsed_->analysis.analyze_template(parsed_->chat_template); });
      syntax.format = COMMON_CHAT_FORMAT_PEG_NATIVE;
      syntax.generation_prompt = common_chat_template_generation_prompt(chat_template, *params);
      syntax.parser = parsed_->analysis.build_parser(*params, syntax.generation_prompt);
      markers = parsed_->analysis.preserved_tokens;
      call_marker = CallMarker(parsed_->analysis);
    }
    for (const std::string& marker : markers) {
      if (!control_texts.Find(marker, 0)) continue;
      return UnimplementedError("the model marks its calls of tools by the control token " +
                                marker + ", which has no text");
    }
    return std::unique_ptr<ReplyParser>(
        std::make_unique<TemplateReplyParser>(std::move(syntax), std::move(call_marker)));
  } catch (const std::exception& error) {
    return UnimplementedError(
        std::string("the model's chat template does not show how tools are called: ") +
        error.what());
  }
}

}  // namespace foretoken
