#include "model/llama_loader.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "kernels/ggml_plugin.h"
#include "model/chat_template.h"
#include "model/llama_adapter.h"
#include "model/llama_backend.h"
#include "model/llama_library.h"
#include "model/llama_vocabulary.h"

namespace foretoken {
namespace {

class LlamaModel : public LoadedModel {
 public:
  LlamaModel(std::string path, std::shared_ptr<LlamaWeights> weights)
      : path_(std::move(path)),
        weights_(std::move(weights)),
        vocabulary_(llama_model_get_vocab(weights_->model())) {
    const llama_vocab* vocab = llama_model_get_vocab(weights_->model());
    const char* source = llama_model_chat_template(weights_->model(), nullptr);
    if (source == nullptr || *source == '\0') {
      chat_template_error_ =
          FailedPreconditionError("the model has no chat template; send the prompt raw instead");
      return;
    }
    auto text = [&](llama_token token) {
      return token == LLAMA_TOKEN_NULL ? std::string() : vocabulary_.TokenText(token);
    };
    auto parsed =
        ChatTemplate::Parse(source, text(llama_vocab_bos(vocab)), text(llama_vocab_eos(vocab)));
    if (parsed.ok()) {
      chat_template_.emplace(std::move(parsed).value());
    } else {
      chat_template_error_ = parsed.status();
    }
  }

  const Vocabulary& vocabulary() const override { return vocabulary_; }

  Result<std::string> RenderChat(const ChatPrompt& prompt,
                                 const ChatTextFilter& filter) const override {
    if (!chat_template_) return chat_template_error_;
    return chat_template_->Render(prompt, filter);
  }

  Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& prompt) const override {
    if (!chat_template_) return chat_template_error_;
    return chat_template_->NewReplyParser(prompt, vocabulary_.control_texts());
  }

  Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) override {
    return NewLlamaBackend(weights_, options);
  }

  Result<std::shared_ptr<LoadedAdapter>> LoadAdapter(const std::string& path) override {
    return LoadLlamaAdapter(weights_, path_, path);
  }

  int32_t trained_context_tokens() const override {
    return llama_model_n_ctx_train(weights_->model());
  }

  SamplingOptions RecommendedSampling(SamplingOptions base) const override {
    if (auto value = MetaNumber(LLAMA_MODEL_META_KEY_SAMPLING_TEMP)) {
      base.temperature = static_cast<float>(*value);
    }
    if (auto value = MetaNumber(LLAMA_MODEL_META_KEY_SAMPLING_TOP_K)) {
      base.top_k = static_cast<int32_t>(*value);
    }
    if (auto value = MetaNumber(LLAMA_MODEL_META_KEY_SAMPLING_TOP_P)) {
      base.top_p = static_cast<float>(*value);
    }
    if (auto value = MetaNumber(LLAMA_MODEL_META_KEY_SAMPLING_MIN_P)) {
      base.min_p = static_cast<float>(*value);
    }
    if (auto value = MetaNumber(LLAMA_MODEL_META_KEY_SAMPLING_PENALTY_REPEAT)) {
      base.repetition_penalty = static_cast<float>(*value);
    }
    return base;
  }

 private:
  std::optional<double> MetaNumber(llama_model_meta_key key) const {
    const char* name = llama_model_meta_key_str(key);
    if (name == nullptr) return std::nullopt;
    std::array<char, 64> text{};
    if (llama_model_meta_val_str(weights_->model(), name, text.data(), text.size()) < 0) {
      return std::nullopt;
    }
    char* end = nullptr;
    const double value = std::strtod(text.data(), &end);
    if (end == text.data() || !std::isfinite(value)) return std::nullopt;
    return value;
  }

  const std::string path_;
  const std::shared_ptr<LlamaWeights> weights_;
  LlamaVocabulary vocabulary_;
  std::optional<ChatTemplate> chat_template_;
  Status chat_template_error_;
};

class LlamaLoader : public ModelLoader {
 public:
  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) override {
    InitializeLlama();
    ClearLlamaError();
    try {
      std::optional<PackWeightsScope> pack;
      if (config.kernels == CpuKernels::kInvariant) pack.emplace();
      const auto weights = std::make_shared<LlamaWeights>(
          llama_model_load_from_file(config.path.c_str(), llama_model_default_params()),
          config.kernels);
      llama_model* const model = weights->model();
      if (model == nullptr) {
        return DataLossError(
            fmt::format("{}: llama.cpp cannot load it{}", config.path, TakeLlamaError()));
      }
      if (llama_model_has_encoder(model) || !llama_model_has_decoder(model) ||
          llama_model_is_diffusion(model)) {
        return UnimplementedError(
            fmt::format("{}: not a decoder-only language model", config.path));
      }
      return std::shared_ptr<LoadedModel>(std::make_shared<LlamaModel>(config.path, weights));
    } catch (const std::exception& error) {
      return DataLossError(
          fmt::format("{}: llama.cpp cannot load it ({})", config.path, error.what()));
    }
  }
};

}  // namespace

std::unique_ptr<ModelLoader> NewLlamaLoader() {
  return std::make_unique<LlamaLoader>();
}

}  // namespace foretoken
