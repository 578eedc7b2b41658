// The only file that includes llama.h: llama.cpp behind the LoadedModel and ModelBackend seams.
#include <ggml-cpu.h>
#include <ggml.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/log.h"
#include "base/macros.h"
#include "base/mutex.h"
#include "model/chat_template.h"
#include "model/llama_loader.h"

namespace foretoken {
namespace {

// One wrapper for every C handle: move-only, freed once.
template <auto kFree>
struct HandleFree {
  template <typename T>
  void operator()(T* handle) const {
    kFree(handle);
  }
};
using ModelHandle = std::unique_ptr<llama_model, HandleFree<llama_model_free>>;
using ContextHandle = std::unique_ptr<llama_context, HandleFree<llama_free>>;
using ThreadPoolHandle = std::unique_ptr<ggml_threadpool, HandleFree<ggml_threadpool_free>>;

// llama.cpp explains failures in log lines only: the first error since it was cleared.
thread_local std::string last_llama_error;  // NOLINT: a C callback has no other place for it

void ForwardLog(ggml_log_level level, const char* text, void* /*user_data*/) {
  std::string_view line(text);
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  if (line.empty()) return;
  // The first one names the cause; those after it say that something failed.
  if (level == GGML_LOG_LEVEL_ERROR && last_llama_error.empty()) last_llama_error = line;
  Log(level == GGML_LOG_LEVEL_ERROR  ? LogLevel::kError
      : level == GGML_LOG_LEVEL_WARN ? LogLevel::kWarning
                                     : LogLevel::kDebug,
      line);
}

// The reason llama.cpp logged, to follow a message of ours.
std::string TakeReason() {
  std::string reason = std::exchange(last_llama_error, {});
  return reason.empty() ? "" : " (" + reason + ")";
}

void InitializeLlamaOnce() {
  static const bool initialized = [] {
    llama_log_set(ForwardLog, nullptr);
    llama_backend_init();
    return true;
  }();
  static_cast<void>(initialized);
}

// The processor's cores as one device: one forward at a time in the process, on one set of worker
// threads per thread count. Two pools that spin at their barriers on the same cores would turn
// milliseconds into seconds.
struct CpuDevice {
  Mutex mutex;
  std::map<int32_t, ThreadPoolHandle> pools FORETOKEN_GUARDED_BY(mutex);

  static CpuDevice& Get() {
    static CpuDevice device;
    return device;
  }

  ggml_threadpool* Pool(int32_t threads) FORETOKEN_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    ThreadPoolHandle& pool = pools[threads];
    if (!pool) {
      ggml_threadpool_params params = ggml_threadpool_params_default(threads);
      pool.reset(ggml_threadpool_new(&params));
    }
    return pool.get();
  }
};

class LlamaVocabulary : public Vocabulary {
 public:
  explicit LlamaVocabulary(const llama_vocab* vocab) : vocab_(vocab) {}

  int32_t size() const override { return llama_vocab_n_tokens(vocab_); }

  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override {
    if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max()) / 2) {
      return InvalidArgumentError(
          fmt::format("a text of {} bytes is too long to tokenize", text.size()));
    }
    const auto bytes = static_cast<int32_t>(text.size());
    // At most one token a byte, plus begin and end of text.
    std::vector<TokenId> tokens(text.size() + 2);
    try {
      int32_t count =
          llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                         static_cast<int32_t>(tokens.size()), add_special, parse_special);
      if (count < 0 && count != std::numeric_limits<int32_t>::min()) {
        tokens.resize(static_cast<size_t>(-count));
        count = llama_tokenize(vocab_, text.data(), bytes, tokens.data(),
                               static_cast<int32_t>(tokens.size()), add_special, parse_special);
      }
      if (count < 0) return InvalidArgumentError("the text is too long to tokenize");
      tokens.resize(static_cast<size_t>(count));
      return tokens;
    } catch (const std::exception& error) {
      return InvalidArgumentError(std::string("the text cannot be tokenized: ") + error.what());
    }
  }

  std::string Piece(TokenId token) const override {
    if (token < 0 || token >= size()) return "";
    std::string piece(32, '\0');
    int32_t length = llama_token_to_piece(vocab_, token, piece.data(),
                                          static_cast<int32_t>(piece.size()), 0, false);
    if (length < 0) {
      piece.resize(static_cast<size_t>(-length));
      length = llama_token_to_piece(vocab_, token, piece.data(), static_cast<int32_t>(piece.size()),
                                    0, false);
    }
    piece.resize(static_cast<size_t>(std::max(length, 0)));
    return piece;
  }

  std::string TokenText(TokenId token) const override {
    if (token < 0 || token >= size()) return "";
    const char* text = llama_vocab_get_text(vocab_, token);
    return text != nullptr ? text : "";
  }

  bool IsEndOfGeneration(TokenId token) const override {
    return token >= 0 && token < size() && llama_vocab_is_eog(vocab_, token);
  }

  std::optional<TokenId> begin_of_text() const override {
    const llama_token token = llama_vocab_bos(vocab_);
    if (token == LLAMA_TOKEN_NULL) return std::nullopt;
    return token;
  }

 private:
  const llama_vocab* vocab_;
};

class LlamaBackend : public ModelBackend {
 public:
  static Result<std::unique_ptr<ModelBackend>> Create(llama_model* model,
                                                      const BackendOptions& options) {
    const int32_t trained = llama_model_n_ctx_train(model);
    constexpr int32_t kDefaultContext = 8192;
    const int32_t context_tokens =
        options.context_tokens > 0
            ? options.context_tokens
            : std::min(trained > 0 ? trained : kDefaultContext, kDefaultContext);
    if (trained > 0 && context_tokens > trained) {
      return InvalidArgumentError(
          fmt::format("a context of {} tokens is more than the {} the model was trained for",
                      context_tokens, trained));
    }
    if (options.max_sequences < 1 ||
        static_cast<size_t>(options.max_sequences) > llama_max_parallel_sequences()) {
      return InvalidArgumentError(fmt::format("max_sequences is {}; it must be 1 to {}",
                                              options.max_sequences,
                                              llama_max_parallel_sequences()));
    }
    auto backend = std::unique_ptr<LlamaBackend>(new LlamaBackend(model, options));
    FORETOKEN_RETURN_IF_ERROR(backend->Initialize(context_tokens));
    return std::unique_ptr<ModelBackend>(std::move(backend));
  }

  const BackendDescription& description() const override { return description_; }

  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    FORETOKEN_ASSIGN_OR_RETURN(const int32_t logits_rows, FillBatch(rows));
    last_llama_error.clear();
    int32_t code = 0;
    try {
      MutexLock lock(CpuDevice::Get().mutex);
      code = llama_decode(context_.get(), batch_);
    } catch (const std::exception& error) {
      return InternalError(
          fmt::format("llama.cpp failed on {} rows: {}", rows.size(), error.what()));
    }
    switch (code) {
      case 0:
        break;
      case 1:
        return ResourceExhaustedError(fmt::format("no room for {} more tokens in a KV cache of {}",
                                                  rows.size(), description_.context_tokens));
      case 2:
        return CancelledError("the forward was aborted");
      case -1:
        return InvalidArgumentError(
            fmt::format("llama.cpp refused a batch of {} rows{}", rows.size(), TakeReason()));
      default:
        return InternalError(fmt::format("llama.cpp failed with code {} on {} rows{}", code,
                                         rows.size(), TakeReason()));
    }
    if (logits_rows == 0) return LogitsRows();
    const float* logits = llama_get_logits(context_.get());
    if (logits == nullptr) return InternalError("llama.cpp returned no logits");
    return LogitsRows(logits, logits_rows, description_.vocabulary_size);
  }

  Status Truncate(SequenceId sequence, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    if (!llama_memory_seq_rm(memory_, static_cast<llama_seq_id>(sequence), length, -1)) {
      return UnimplementedError("this model's memory cannot be cut back to a shorter length");
    }
    return OkStatus();
  }

  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(source));
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(target));
    if (llama_memory_seq_pos_max(memory_, static_cast<llama_seq_id>(target)) >= 0) {
      return FailedPreconditionError("the target of a fork must be empty");
    }
    llama_memory_seq_cp(memory_, static_cast<llama_seq_id>(source),
                        static_cast<llama_seq_id>(target), 0, length);
    return OkStatus();
  }

  Status Drop(SequenceId sequence) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    llama_memory_seq_rm(memory_, static_cast<llama_seq_id>(sequence), -1, -1);
    return OkStatus();
  }

 private:
  LlamaBackend(llama_model* model, const BackendOptions& options)
      : model_(model), options_(options) {}

  Status Initialize(int32_t context_tokens) {
    const int32_t rows = std::clamp(options_.max_batch_rows, 1, context_tokens);
    const int32_t threads = options_.threads > 0 ? options_.threads : PhysicalCoreCount();
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(context_tokens);
    params.n_batch = static_cast<uint32_t>(rows);
    params.n_ubatch = static_cast<uint32_t>(rows);
    params.n_seq_max = static_cast<uint32_t>(options_.max_sequences);
    params.n_outputs_max = static_cast<uint32_t>(std::clamp(options_.max_logits_rows, 1, rows));
    params.n_threads = threads;
    params.n_threads_batch = threads;
    params.kv_unified = true;
    params.swa_full = true;  // a window that forgets could not be rolled back
    params.no_perf = true;
    params.abort_callback = [](void* self) {
      const auto& should_abort = static_cast<LlamaBackend*>(self)->options_.should_abort;
      return should_abort && should_abort();
    };
    params.abort_callback_data = this;
    last_llama_error.clear();
    try {
      context_.reset(llama_init_from_model(model_, params));
    } catch (const std::exception& error) {
      return ResourceExhaustedError(std::string("no context could be made: ") + error.what());
    }
    if (!context_) {
      return ResourceExhaustedError(
          fmt::format("no room for a context of {} tokens; ask for a smaller one{}", context_tokens,
                      TakeReason()));
    }
    ggml_threadpool* pool = CpuDevice::Get().Pool(threads);
    if (pool == nullptr) return ResourceExhaustedError("no worker threads could be started");
    llama_attach_threadpool(context_.get(), pool, pool);
    memory_ = llama_get_memory(context_.get());

    description_.vocabulary_size = llama_vocab_n_tokens(llama_model_get_vocab(model_));
    // llama.cpp rounds the size up; what was asked for is what there is.
    description_.context_tokens = context_tokens;
    description_.max_batch_rows = static_cast<int32_t>(llama_n_ubatch(context_.get()));
    description_.max_logits_rows = static_cast<int32_t>(params.n_outputs_max);
    description_.max_sequences = options_.max_sequences;
    return ProbeTruncation();
  }

  // Runs two tokens and takes one back: what the memory can do is measured, not looked up by the
  // model's name. Warms the caches as well.
  Status ProbeTruncation() {
    std::vector<BatchRow> rows;
    for (int32_t position = 0; position < std::min(2, description_.max_batch_rows); ++position) {
      rows.push_back(
          {.token = 0, .position = position, .sequences = {SequenceId{0}}, .wants_logits = false});
    }
    rows.back().wants_logits = true;
    FORETOKEN_RETURN_IF_ERROR(Decode(rows).status());
    description_.can_truncate = rows.size() == 2 && llama_memory_seq_rm(memory_, 0, 1, -1);
    llama_memory_clear(memory_, false);
    return OkStatus();
  }

  Status CheckSequence(SequenceId sequence) const {
    const auto id = static_cast<int32_t>(sequence);
    if (id < 0 || id >= description_.max_sequences) {
      return InvalidArgumentError(
          fmt::format("sequence {} is not one of 0 to {}", id, description_.max_sequences - 1));
    }
    return OkStatus();
  }

  // llama.cpp asserts on sizes: everything is checked here. Returns the rows that want logits.
  Result<int32_t> FillBatch(std::span<const BatchRow> rows) {
    if (rows.empty() || rows.size() > static_cast<size_t>(description_.max_batch_rows)) {
      return InvalidArgumentError(fmt::format("a batch of {} rows; it must have 1 to {}",
                                              rows.size(), description_.max_batch_rows));
    }
    const size_t count = rows.size();
    tokens_.resize(count);
    positions_.resize(count);
    sequence_counts_.resize(count);
    sequence_pointers_.resize(count);
    wants_logits_.resize(count);
    next_positions_.assign(static_cast<size_t>(description_.max_sequences), -1);
    int32_t logits_rows = 0;
    for (size_t i = 0; i < count; ++i) {
      const BatchRow& row = rows[i];
      if (row.token < 0 || row.token >= description_.vocabulary_size) {
        return InvalidArgumentError(fmt::format("token {} is not in a vocabulary of {}", row.token,
                                                description_.vocabulary_size));
      }
      if (row.sequences.empty()) return InvalidArgumentError("a row without a sequence");
      for (const SequenceId sequence : row.sequences) {
        FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
        // llama.cpp lets an empty sequence begin anywhere.
        int32_t& next = next_positions_[static_cast<size_t>(sequence)];
        if (next < 0) {
          next = llama_memory_seq_pos_max(memory_, static_cast<llama_seq_id>(sequence)) + 1;
        }
        if (row.position != next) {
          return InvalidArgumentError(fmt::format(
              "position {} does not continue a sequence of {} tokens", row.position, next));
        }
        ++next;
      }
      if (row.position >= description_.context_tokens) {
        return ResourceExhaustedError(fmt::format("no room for position {} in a context of {}",
                                                  row.position, description_.context_tokens));
      }
      tokens_[i] = row.token;
      positions_[i] = row.position;
      sequence_counts_[i] = static_cast<int32_t>(row.sequences.size());
      // llama.cpp only reads through this pointer; SequenceId is an int32_t in memory.
      sequence_pointers_[i] =
          const_cast<llama_seq_id*>(reinterpret_cast<const llama_seq_id*>(row.sequences.data()));
      wants_logits_[i] = row.wants_logits ? 1 : 0;
      logits_rows += wants_logits_[i];
    }
    if (logits_rows > description_.max_logits_rows) {
      return InvalidArgumentError(fmt::format("{} rows want logits; at most {} may", logits_rows,
                                              description_.max_logits_rows));
    }
    batch_ =
        llama_batch{static_cast<int32_t>(count), tokens_.data(),          nullptr,
                    positions_.data(),           sequence_counts_.data(), sequence_pointers_.data(),
                    wants_logits_.data()};
    return logits_rows;
  }

  llama_model* model_;
  BackendOptions options_;
  BackendDescription description_;
  ContextHandle context_;
  llama_memory_t memory_ = nullptr;

  // The batch's arrays, kept to save allocations.
  llama_batch batch_{};
  std::vector<llama_token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<int32_t> sequence_counts_;
  std::vector<llama_seq_id*> sequence_pointers_;
  std::vector<int8_t> wants_logits_;
  std::vector<int32_t> next_positions_;  // by sequence; negative: not in this batch
};

class LlamaModel : public LoadedModel {
 public:
  explicit LlamaModel(ModelHandle model)
      : model_(std::move(model)), vocabulary_(llama_model_get_vocab(model_.get())) {
    const llama_vocab* vocab = llama_model_get_vocab(model_.get());
    const char* source = llama_model_chat_template(model_.get(), nullptr);
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

  Result<std::string> RenderChat(std::span<const ChatMessage> messages) const override {
    if (!chat_template_) return chat_template_error_;
    return chat_template_->Render(messages);
  }

  Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) override {
    return LlamaBackend::Create(model_.get(), options);
  }

  int32_t trained_context_tokens() const override { return llama_model_n_ctx_train(model_.get()); }

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
    if (llama_model_meta_val_str(model_.get(), name, text.data(), text.size()) < 0) {
      return std::nullopt;
    }
    char* end = nullptr;
    const double value = std::strtod(text.data(), &end);
    if (end == text.data() || !std::isfinite(value)) return std::nullopt;
    return value;
  }

  ModelHandle model_;
  LlamaVocabulary vocabulary_;
  std::optional<ChatTemplate> chat_template_;
  Status chat_template_error_;
};

class LlamaLoader : public ModelLoader {
 public:
  Result<std::shared_ptr<LoadedModel>> Load(const ModelConfig& config) override {
    InitializeLlamaOnce();
    last_llama_error.clear();
    try {
      ModelHandle model(
          llama_model_load_from_file(config.path.c_str(), llama_model_default_params()));
      if (!model) {
        return DataLossError(
            fmt::format("{}: llama.cpp cannot load it{}", config.path, TakeReason()));
      }
      if (llama_model_has_encoder(model.get()) || !llama_model_has_decoder(model.get()) ||
          llama_model_is_diffusion(model.get())) {
        return UnimplementedError(
            fmt::format("{}: not a decoder-only language model", config.path));
      }
      return std::shared_ptr<LoadedModel>(std::make_shared<LlamaModel>(std::move(model)));
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
