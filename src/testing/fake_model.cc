#include "testing/fake_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/macros.h"
#include "model/device_arbiter.h"

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
  explicit FakeVocabulary(const FakeModelOptions& options)
      : size_(options.vocabulary_size),
        tag_(options.vocabulary_tag),
        control_texts_({options.control_text}) {}

  int32_t size() const override { return size_; }

  // A byte a token: enough to make a prompt of any text. Deterministic.
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool add_special,
                                        bool parse_special) const override {
    std::vector<TokenId> tokens;
    if (add_special) tokens.push_back(1);
    for (size_t i = 0; i < text.size(); ++i) {
      const auto control = parse_special ? control_texts_.Find(text.substr(i), 0) : std::nullopt;
      if (control && control->begin == 0) {
        tokens.push_back(0);
        i += control->length - 1;
      } else {
        tokens.push_back(1 +
                         static_cast<TokenId>(static_cast<unsigned char>(text[i])) % (size_ - 1));
      }
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
  const ControlTexts& control_texts() const override { return control_texts_; }

 private:
  int32_t size_;
  std::string tag_;
  ControlTexts control_texts_;
};

class FakeAdapter : public LoadedAdapter {
 public:
  FakeAdapter(std::shared_ptr<const LoadedModel> model, uint64_t seed)
      : model_(std::move(model)), seed_(std::make_shared<const uint64_t>(seed)) {}

  const LoadedModel* model() const { return model_.get(); }
  const std::shared_ptr<const uint64_t>& seed() const { return seed_; }

 private:
  std::shared_ptr<const LoadedModel> model_;
  std::shared_ptr<const uint64_t> seed_;  // shared, so that back ends see when the adapter goes
};

class FakeBackend : public ModelBackend {
 public:
  FakeBackend(const LoadedModel* owner, const FakeModelOptions& model,
              const BackendOptions& options, std::shared_ptr<FakeControl> control)
      : owner_(owner),
        model_(model),
        should_abort_(options.should_abort),
        device_(options.device),
        control_(std::move(control)) {
    description_.vocabulary_size = model.vocabulary_size;
    description_.context_tokens = options.context_tokens;
    description_.cache_tokens = options.kv_cache_tokens;
    description_.max_batch_rows = std::min(model.max_batch_rows, options.max_batch_rows);
    description_.max_logits_rows = std::min(model.max_logits_rows, options.max_logits_rows);
    description_.max_sequences = options.max_sequences;
    description_.can_truncate = model.can_truncate;
    description_.batch_invariant = true;
    description_.cost_identity = model.cost_identity;
    cache_.resize(static_cast<size_t>(options.max_sequences));
    ++control_->live_backends;
  }
  ~FakeBackend() override { --control_->live_backends; }

  const BackendDescription& description() const override { return description_; }

  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    if (should_abort_ && should_abort_()) return CancelledError("aborted");
    FORETOKEN_RETURN_IF_ERROR(Check(rows));
    Status failure;
    if (control_->before_decode) failure = control_->before_decode(calls_, rows);
    ++calls_;
    if (failure.ok()) failure = TakeTime(static_cast<int32_t>(rows.size()));
    if (!failure.ok() && !control_->failed_decode_leaves_rows) return failure;
    logits_.clear();
    int32_t logits_rows = 0;
    for (const BatchRow& row : rows) {
      Cells& cached = Cached(row.sequences.front());
      Append(cached, row.token, adapter_);
      if (!row.wants_logits) continue;
      ++logits_rows;
      AppendLogits(cached);
    }
    if (!failure.ok()) return failure;
    ++control_->decodes;
    control_->rows += static_cast<int64_t>(rows.size());
    return LogitsRows(logits_.data(), logits_rows, description_.vocabulary_size);
  }

  Status Truncate(SequenceId sequence, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    Cells& cached = Cached(sequence);
    if (length < 0) return InvalidArgumentError("negative length");
    if (static_cast<size_t>(length) >= cached.size()) return OkStatus();
    if (length > 0 && !description_.can_truncate) {
      return UnimplementedError("this fake cannot be cut back");
    }
    cached.resize(static_cast<size_t>(length));
    return OkStatus();
  }

  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(source));
    FORETOKEN_RETURN_IF_ERROR(CheckEmpty(target));
    const Cells& from = Cached(source);
    if (length < 0 || static_cast<size_t>(length) > from.size()) {
      return InvalidArgumentError("fork beyond the cached length");
    }
    if (static_cast<size_t>(length) < from.size() && !description_.can_truncate) {
      return UnimplementedError("this fake cannot share a part of a sequence");
    }
    FORETOKEN_RETURN_IF_ERROR(BeforeCall(FakeCall::kFork));
    Cached(target).assign(from.begin(), from.begin() + length);
    ++control_->forks;
    return OkStatus();
  }

  Result<std::vector<uint8_t>> SaveSequence(SequenceId sequence) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    const Cells& cached = Cached(sequence);
    if (cached.empty()) return FailedPreconditionError("nothing is cached of the sequence");
    FORETOKEN_RETURN_IF_ERROR(BeforeCall(FakeCall::kSaveSequence));
    std::vector<uint64_t> words = {ModelId()};
    for (const auto& cell : cached) {
      words.push_back(static_cast<uint64_t>(cell->token));
      words.push_back(cell->adapter);
    }
    words.push_back(Checksum(words));
    std::vector<uint8_t> state(words.size() * sizeof(uint64_t));
    std::memcpy(state.data(), words.data(), state.size());
    ++control_->saves;
    return state;
  }

  Status RestoreSequence(SequenceId target, std::span<const uint8_t> state) override {
    FORETOKEN_RETURN_IF_ERROR(CheckEmpty(target));
    Status broken = DataLossError("not a saved sequence of this model");
    std::vector<uint64_t> words(state.size() / sizeof(uint64_t));
    if (words.size() < 4 || words.size() % 2 != 0 || state.size() % sizeof(uint64_t) != 0) {
      return broken;
    }
    std::memcpy(words.data(), state.data(), state.size());
    if (words.front() != ModelId() ||
        words.back() != Checksum(std::span(words).first(words.size() - 1))) {
      return broken;
    }
    const size_t length = words.size() / 2 - 1;
    if (length > static_cast<size_t>(description_.context_tokens)) {
      return DataLossError("a saved sequence longer than the context");
    }
    FORETOKEN_RETURN_IF_ERROR(CheckRoom(length));
    FORETOKEN_RETURN_IF_ERROR(BeforeCall(FakeCall::kRestoreSequence));
    for (size_t i = 0; i < length; ++i) {
      Append(Cached(target), static_cast<TokenId>(words[1 + 2 * i]), words[2 + 2 * i]);
    }
    ++control_->restores;
    return OkStatus();
  }

  Status UseAdapter(const LoadedAdapter* adapter, float scale) override {
    const auto* fake = dynamic_cast<const FakeAdapter*>(adapter);
    if (adapter != nullptr && (fake == nullptr || fake->model() != owner_)) {
      return InvalidArgumentError("an adapter of another model");
    }
    if (!std::isfinite(scale)) return InvalidArgumentError("the scale is not finite");
    FORETOKEN_RETURN_IF_ERROR(BeforeCall(FakeCall::kUseAdapter));
    uint64_t id = 0;
    if (fake != nullptr && scale != 0) {
      id = Mix(*fake->seed() ^ std::bit_cast<uint32_t>(scale)) | 1;
      adapter_life_ = fake->seed();
    }
    if (id != adapter_) ++control_->adapter_switches;
    adapter_ = id;
    return OkStatus();
  }

 private:
  // Counts a cell as long as it lives.
  class CellCount {
   public:
    explicit CellCount(FakeBackend& backend) : backend_(backend) { Add(1); }
    CellCount(const CellCount&) = delete;
    CellCount& operator=(const CellCount&) = delete;
    ~CellCount() { Add(-1); }

   private:
    void Add(int32_t cells) {
      backend_.cells_ += cells;
      backend_.control_->cells_in_use += cells;
    }
    FakeBackend& backend_;
  };

  // A cell of the KV cache, in use as long as a sequence holds it.
  struct Cell {
    CellCount count;
    TokenId token;
    uint64_t adapter;   // that the token was run with; 0: the model itself
    uint64_t adapters;  // the same where all tokens up to here have it, else a hash of all
  };
  using Cells = std::vector<std::shared_ptr<const Cell>>;

  Cells& Cached(SequenceId sequence) { return cache_[static_cast<size_t>(sequence)]; }

  void Append(Cells& cached, TokenId token, uint64_t adapter) {
    const uint64_t before = cached.empty() ? adapter : cached.back()->adapters;
    const uint64_t adapters = before == adapter ? adapter : Mix(before * 31 + adapter);
    cached.emplace_back(new Cell{CellCount(*this), token, adapter, adapters});
  }

  Status BeforeCall(FakeCall call) {
    return control_->before_call ? control_->before_call(call) : OkStatus();
  }

  // A state fits the back ends of models that compute the same.
  uint64_t ModelId() const {
    return Mix(model_.seed * 31 + static_cast<uint64_t>(model_.vocabulary_size));
  }

  static uint64_t Checksum(std::span<const uint64_t> words) {
    uint64_t sum = 0;
    for (const uint64_t word : words) sum = Mix(sum * 31 + word + 1);
    return sum;
  }

  Status CheckSequence(SequenceId sequence) const {
    const auto id = static_cast<int32_t>(sequence);
    if (id < 0 || id >= description_.max_sequences) return InvalidArgumentError("bad sequence");
    return OkStatus();
  }

  Status CheckEmpty(SequenceId target) {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(target));
    if (!Cached(target).empty()) return FailedPreconditionError("the target is not empty");
    return OkStatus();
  }

  Status CheckRoom(size_t cells) const {
    if (cells > static_cast<size_t>(description_.cache_tokens - cells_)) {
      return ResourceExhaustedError("no room in the fake KV cache");
    }
    return OkStatus();
  }

  Status Check(std::span<const BatchRow> rows) {
    if (rows.empty() || rows.size() > static_cast<size_t>(description_.max_batch_rows)) {
      return InvalidArgumentError("wrong number of rows");
    }
    if (adapter_ != 0 && adapter_life_.expired()) {
      return InvalidArgumentError("the adapter in use is gone");
    }
    int32_t logits_rows = 0;
    std::map<SequenceId, int32_t> lengths;
    for (const BatchRow& row : rows) {
      if (row.sequences.size() != 1) return InvalidArgumentError("one sequence a row here");
      const SequenceId id = row.sequences.front();
      FORETOKEN_RETURN_IF_ERROR(CheckSequence(id));
      if (row.token < 0 || row.token >= description_.vocabulary_size) {
        return InvalidArgumentError("token outside the vocabulary");
      }
      auto [length, first] = lengths.try_emplace(id, static_cast<int32_t>(Cached(id).size()));
      if (row.position != length->second++) {
        return InvalidArgumentError(fmt::format("position {} does not continue a cache of {}",
                                                row.position, length->second - 1));
      }
      if (row.position >= description_.context_tokens) {
        return InvalidArgumentError(fmt::format("position {} in a context of {}", row.position,
                                                description_.context_tokens));
      }
      logits_rows += row.wants_logits ? 1 : 0;
    }
    if (logits_rows > description_.max_logits_rows) {
      return InvalidArgumentError("too many rows want logits");
    }
    return CheckRoom(rows.size());
  }

  // Sleeps in slices, as a real forward asks between its operations whether to go on.
  Status TakeTime(int32_t rows) {
    if (!model_.decode_time) return OkStatus();
    std::optional<DeviceTurn> turn;
    if (device_ != nullptr) turn.emplace(*device_);
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + model_.decode_time(rows);
    for (auto now = Clock::now(); now < end; now = Clock::now()) {
      if (should_abort_ && should_abort_()) return CancelledError("aborted");
      std::this_thread::sleep_for(
          std::min<Clock::duration>(end - now, std::chrono::milliseconds(1)));
    }
    return OkStatus();
  }

  void AppendLogits(const Cells& cached) {
    const auto order = static_cast<size_t>(model_.context_order);
    const size_t begin = order > 0 && cached.size() > order ? cached.size() - order : 0;
    uint64_t context = 0;
    for (size_t i = begin; i < cached.size(); ++i) {
      context = Mix(context * 31 + static_cast<uint64_t>(cached[i]->token) + 1);
    }
    context ^= cached.back()->adapters;
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

  const LoadedModel* const owner_;
  const FakeModelOptions model_;
  const std::function<bool()> should_abort_;
  const std::shared_ptr<DeviceClient> device_;  // may be null
  const std::shared_ptr<FakeControl> control_;
  BackendDescription description_;
  std::vector<float> logits_;
  uint64_t adapter_ = 0;                        // of the rows decoded from now on
  std::weak_ptr<const uint64_t> adapter_life_;  // ends with the adapter
  int32_t cells_ = 0;
  int64_t calls_ = 0;
  std::vector<Cells> cache_;  // by sequence; last, because its cells count themselves out
};

// Takes all text as content.
class FakeReplyParser : public ReplyParser {
 public:
  ReplyDelta Push(std::string_view text) override { return {.content = std::string(text)}; }
  ReplyDelta Finish() override { return {}; }
};

class FakeModel : public LoadedModel, public std::enable_shared_from_this<FakeModel> {
 public:
  FakeModel(const FakeModelOptions& options, std::shared_ptr<FakeControl> control)
      : options_(options),
        control_(control ? std::move(control) : std::make_shared<FakeControl>()),
        vocabulary_(options) {}

  const Vocabulary& vocabulary() const override { return vocabulary_; }
  Result<std::string> RenderChat(const ChatPrompt& prompt,
                                 const ChatTextFilter& filter) const override {
    if (!options_.has_chat_template) {
      return FailedPreconditionError("the model has no chat template");
    }
    std::string text;
    for (const ChatMessage& message : prompt.messages) {
      text += message.role + ":" + (filter ? filter(message.content) : message.content);
      text += options_.control_text + ";";
    }
    return text;
  }
  Result<std::unique_ptr<ReplyParser>> NewReplyParser(const ChatPrompt& /*prompt*/) const override {
    return std::unique_ptr<ReplyParser>(std::make_unique<FakeReplyParser>());
  }
  Result<std::unique_ptr<ModelBackend>> NewBackend(const BackendOptions& options) override {
    FORETOKEN_ASSIGN_OR_RETURN(const BackendOptions resolved,
                               ResolveBackendOptions(options, options_.context_tokens));
    return std::unique_ptr<ModelBackend>(
        std::make_unique<FakeBackend>(this, options_, resolved, control_));
  }
  Result<std::shared_ptr<LoadedAdapter>> LoadAdapter(const std::string& path) override {
    const auto found = options_.adapters.find(path);
    if (found == options_.adapters.end()) return NotFoundError(path + ": no such fake adapter");
    return std::shared_ptr<LoadedAdapter>(
        std::make_shared<FakeAdapter>(shared_from_this(), found->second));
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
