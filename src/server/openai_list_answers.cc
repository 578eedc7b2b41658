#include "server/openai_list_answers.h"

#include <bit>

#include "server/wire_text.h"
#include "server/wire_writer.h"

namespace foretoken {
namespace {

static_assert(std::endian::native == std::endian::little, "embeddings are sent little-endian");

void WriteModel(WireWriter& writer, const ModelEntry& model) {
  writer.BeginObject().Key("id").String(model.id).Key("object").String("model");
  writer.Key("created").Integer(model.created).Key("owned_by").String(model.owned_by);
  if (model.context_tokens > 0) writer.Key("max_model_len").Integer(model.context_tokens);
  writer.EndObject();
}

void WriteVector(WireWriter& writer, const std::vector<float>& vector, bool base64) {
  if (base64) {
    const auto* bytes = reinterpret_cast<const char*>(vector.data());
    writer.String(EncodeBase64({bytes, vector.size() * sizeof(float)}));
    return;
  }
  writer.BeginArray();
  for (const float value : vector) writer.Float(value);
  writer.EndArray();
}

}  // namespace

std::string ModelBody(const ModelEntry& model) {
  std::string out;
  WireWriter writer(out);
  WriteModel(writer, model);
  return out;
}

std::string ModelListBody(std::span<const ModelEntry> models) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject().Key("object").String("list").Key("data").BeginArray();
  for (const ModelEntry& model : models) WriteModel(writer, model);
  writer.EndArray().EndObject();
  return out;
}

std::string EmbeddingListBody(std::string_view model, std::span<const std::vector<float>> vectors,
                              bool base64, int64_t prompt_tokens) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject().Key("object").String("list").Key("data").BeginArray();
  int64_t index = 0;
  for (const std::vector<float>& vector : vectors) {
    writer.BeginObject().Key("object").String("embedding").Key("index").Integer(index++);
    writer.Key("embedding");
    WriteVector(writer, vector, base64);
    writer.EndObject();
  }
  writer.EndArray().Key("model").String(model).Key("usage").BeginObject();
  writer.Key("prompt_tokens").Integer(prompt_tokens).Key("total_tokens").Integer(prompt_tokens);
  writer.EndObject().EndObject();
  return out;
}

std::string TokenizeBody(const TokenizeAnswer& answer) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject().Key("count").Integer(static_cast<int64_t>(answer.tokens.size()));
  writer.Key("max_model_len").Integer(answer.context_tokens).Key("tokens").BeginArray();
  for (const TokenId token : answer.tokens) writer.Integer(token);
  writer.EndArray().Key("token_strs");
  if (answer.pieces) {
    writer.BeginArray();
    for (const std::string& piece : *answer.pieces) writer.String(piece);
    writer.EndArray();
  } else {
    writer.Null();
  }
  writer.EndObject();
  return out;
}

std::string DetokenizeBody(std::string_view text) {
  std::string out;
  WireWriter writer(out);
  writer.BeginObject().Key("prompt").String(text).EndObject();
  return out;
}

}  // namespace foretoken
