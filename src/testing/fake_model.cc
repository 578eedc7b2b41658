#include "testing/fake_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"

namespace foretoken {
namespace {

uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ULL;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A logit in [-4, 4) from integers alone.
float HashLogit(uint64_t seed, uint64_t context, TokenId token) {
  const uint64_t hash =
      Mix(seed ^ Mix(context + 0x9e3779b97f4a7c15ULL * (static_cast<uint64_t>(token) + 1)));
  return static_cast<float>(hash >> 40) * (8.0f / 16777216.0f) - 4.0f;
}

class FakeVocabulary : public Vocabulary {
 public:
  FakeVocabulary(int32_t size, std::string tag) : size_(size), tag_(std::move(tag)) {}

  int32_t size() const override { return size_; }

  // A byte a token: enough to make a prompt of any text. Deterministic.
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool /*parse_special*/) const override {
    std::vector<TokenId> tokens;
    if (add_special) tokens.push_back(1);
    for (const char c : text) {
      tokens.push_back(1 + static_cast<TokenId>(static_cast<unsigned char>(c)) % (size_ - 1));
    }
    return tokens;
  }

  std::string Piece(TokenId token) const override {
    if (token <= 0 || token >= size_) return "";
    // "é" and "😀" appear in halves, so that text has to be held back.
    static const std::array<std::string, 8> kSpecial = {"a",        "\xC3",     "\xA9", "ab",
                                                        "\xF0\x9F", "\x98\x80", "ba",   "b"};
    const auto index = static_cast<size_t>(token - 1);
    if (index < kSpecial.size()) return kSpecial[index];
    return std::string(1, static_cast<char>('c' + (index - kSpecial.size()) % 24));
  }

  std::string TokenText(TokenId token) const override { return fmt::format("{}<{}>", tag_, token); }
  bool IsEndOfGeneration(TokenId token) const override { return token == 0; }
  std::optional<TokenId> begin_of_text() const override { return 1; }

 private:
  int32_t size_;
  std::string tag_;
};

class FakeBackend : public ModelBackend {
 public:
  FakeBackend(const FakeModelOptions& model, const BackendOptions& options,
              std::shared_ptr<FakeControl> control)
      : model_(model), should_abort_(options.should_abort), control_(std::move(control)) {
    description_.vocabulary_size = model.vocabulary_size;
    description_.context_tokens =
        options.context_tokens > 0 ? options.context_tokens : model.context_tokens;
    description_.max_batch_rows = std::min(model.max_batch_rows, options.max_batch_rows);
    description_.max_logits_rows = std::min(model.max_logits_rows, options.max_logits_rows);
    description_.max_sequences = options.max_sequences;
    description_.can_truncate = model.can_truncate;
    description_.batch_invariant = true;
    cache_.resize(static_cast<size_t>(options.max_sequences));
    ++control_->live_backends;
  }
  ~FakeBackend() override {
    control_->cells_in_use -= cells_;
    --control_->live_backends;
  }

  const BackendDescription& description() const override { return description_; }

  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    if (should_abort_ && should_abort_()) return CancelledError("aborted");
    FORETOKEN_RETURN_IF_ERROR(Check(rows));
    Status injected;
    if (control_->before_decode) injected = control_->before_decode(calls_, rows);
    ++calls_;
    if (!injected.ok() && !control_->failed_decode_leaves_rows) return injected;
    logits_.clear();
    int32_t logits_rows = 0;
    for (const BatchRow& row : rows) {
      std::vector<TokenId>& cached = Cached(row.sequences.front());
      cached.push_back(row.token);
      if (!row.wants_logits) continue;
      ++logits_rows;
      AppendLogits(cached);
    }
    UpdateCells();
    if (!injected.ok()) return injected;
    ++control_->decodes;
    control_->rows += static_cast<int64_t>(rows.size());
    return LogitsRows(logits_.data(), logits_rows, description_.vocabulary_size);
  }

  Status Truncate(SequenceId sequence, int32_t length) override {
    std::vector<TokenId>& cached = Cached(sequence);
    if (length < 0) return InvalidArgumentError("negative length");
    if (static_cast<size_t>(length) >= cached.size()) return OkStatus();
    if (!description_.can_truncate) return UnimplementedError("this fake cannot be cut back");
    cached.resize(static_cast<size_t>(length));
    UpdateCells();
    return OkStatus();
  }

  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    if (!Cached(target).empty()) return FailedPreconditionError("fork into a used sequence");
    const std::vector<TokenId>& from = Cached(source);
    if (length < 0 || static_cast<size_t>(length) > from.size()) {
      return InvalidArgumentError("fork beyond the cached length");
    }
    Cached(target).assign(from.begin(), from.begin() + length);
    UpdateCells();
    return OkStatus();
  }

  Status Drop(SequenceId sequence) override {
    Cached(sequence).clear();
    UpdateCells();
    return OkStatus();
  }

 private:
  std::vector<TokenId>& Cached(SequenceId sequence) {
    return cache_[static_cast<size_t>(sequence)];
  }

  Status Check(std::span<const BatchRow> rows) {
    if (rows.empty() || rows.size() > static_cast<size_t>(description_.max_batch_rows)) {
      return InvalidArgumentError("wrong number of rows");
    }
    int32_t logits_rows = 0;
    std::map<SequenceId, int32_t> lengths;
    for (const BatchRow& row : rows) {
      if (row.sequences.size() != 1) return InvalidArgumentError("one sequence a row here");
      const SequenceId id = row.sequences.front();
      if (static_cast<size_t>(id) >= cache_.size()) return InvalidArgumentError("bad sequence");
      if (row.token < 0 || row.token >= description_.vocabulary_size) {
        return InvalidArgumentError("token outside the vocabulary");
      }
      auto [length, first] = lengths.try_emplace(id, static_cast<int32_t>(Cached(id).size()));
      if (row.position != length->second++) {
        return InvalidArgumentError(fmt::format("position {} does not continue a cache of {}",
                                                row.position, length->second - 1));
      }
      logits_rows += row.wants_logits ? 1 : 0;
    }
    if (logits_rows > description_.max_logits_rows) {
      return InvalidArgumentError("too many rows want logits");
    }
    if (cells_ + static_cast<int32_t>(rows.size()) > description_.context_tokens) {
      return ResourceExhaustedError("no room in the fake KV cache");
    }
    return OkStatus();
  }

  void AppendLogits(const std::vector<TokenId>& cached) {
    const auto order = static_cast<size_t>(model_.context_order);
    const size_t begin = order > 0 && cached.size() > order ? cached.size() - order : 0;
    uint64_t context = 0;
    for (size_t i = begin; i < cached.size(); ++i) {
      context = Mix(context * 31 + static_cast<uint64_t>(cached[i]) + 1);
    }
    const auto quality = static_cast<float>(model_.quality);
    for (TokenId token = 0; token < model_.vocabulary_size; ++token) {
      float logit = HashLogit(model_.seed, context, token);
      if (model_.imitated_seed) {
        logit =
            quality * HashLogit(*model_.imitated_seed, context, token) + (1.0f - quality) * logit;
      }
      if (token == 0) logit += model_.end_of_text_logit;
      logits_.push_back(logit);
    }
  }

  void UpdateCells() {
    int32_t cells = 0;
    for (const auto& cached : cache_) cells += static_cast<int32_t>(cached.size());
    control_->cells_in_use += cells - cells_;
    cells_ = cells;
  }

  const FakeModelOptions model_;
  const std::function<bool()> should_abort_;
  const std::shared_ptr<FakeControl> control_;
  BackendDescription description_;
  std::vector<std::vector<TokenId>> cache_;
  std::vector<float> logits_;
  int32_t cells_ = 0;
  int64_t calls_ = 0;
};

class FakeModel : public LoadedModel {
 public:
  FakeModel(const FakeModelOptions& options, std::shared_ptr<FakeControl> control)
      : options_(options),
        control_(control ? std::move(control) : std::make_shared<FakeControl>()),
        vocabulary_(options.vocabulary_size, options.vocabulary_tag) {}

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  Result<std::string> RenderChat(std::span<const ChatMessage> messages) const override {
    if (!options_.has_chat_template) {
      return FailedPreconditionError("the model has no chat template");
    }
    std::string text;
    for (const ChatMessage& message : messages) {
      text += message.role + ":" + message.content + ";";
    }
    return text;
  }
  Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) override {
    return std::unique_ptr<ModelBackend>(
        std::make_unique<FakeBackend>(options_, options, control_));
  }
  int32_t trained_context_tokens() const override { return options_.context_tokens; }
  SamplingOptions RecommendedSampling(SamplingOptions base) const override { return base; }

 private:
  const FakeModelOptions options_;
  const std::shared_ptr<FakeControl> control_;
  const FakeVocabulary vocabulary_;
};

}  // namespace

std::shared_ptr<LoadedModel> NewFakeModel(const FakeModelOptions& options,
                                          std::shared_ptr<FakeControl> control) {
  return std::make_shared<FakeModel>(options, std::move(control));
}

Result<std::shared_ptr<LoadedModel>> FakeLoader::Load(const ModelConfig& config) {
  ++loads_;
  const auto found = models_.find(config.path);
  if (found == models_.end()) return NotFoundError(config.path + ": no such fake model");
  return found->second();
}

}  // namespace foretoken
