#include "model/llama_backend.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/macros.h"
#include "base/mutex.h"
#include "kernels/ggml_forward.h"
#include "kernels/instruction_set.h"
#include "model/device_arbiter.h"
#include "model/llama_adapter.h"
#include "model/llama_cell_positions.h"
#include "model/llama_library.h"

namespace foretoken {
namespace {

// What SaveSequence puts before llama.cpp's own bytes.
struct StateHeader {
  uint64_t magic = 0;
  uint64_t parameters = 0;  // of the model
  uint64_t weight_bytes = 0;
  int64_t tokens = 0;
  uint64_t state_bytes = 0;
};
constexpr uint64_t kStateMagic = 0x3165746174537446;  // "FtState1"

class LlamaBackend : public ModelBackend {
 public:
  static Result<std::unique_ptr<ModelBackend>> Create(std::shared_ptr<LlamaWeights> weights,
                                                      const BackendOptions& options) {
    FORETOKEN_ASSIGN_OR_RETURN(
        BackendOptions resolved,
        ResolveBackendOptions(options, llama_model_n_ctx_train(weights->model())));
    if (static_cast<size_t>(resolved.max_sequences) > llama_max_parallel_sequences()) {
      return InvalidArgumentError(fmt::format("max_sequences is {}; it must be 1 to {}",
                                              resolved.max_sequences,
                                              llama_max_parallel_sequences()));
    }
    if (resolved.device == nullptr) resolved.device = DeviceArbiter::Cpu().NewClient();
    auto backend =
        std::unique_ptr<LlamaBackend>(new LlamaBackend(std::move(weights), std::move(resolved)));
    FORETOKEN_RETURN_IF_ERROR(backend->Initialize());
    return std::unique_ptr<ModelBackend>(std::move(backend));
  }

  const BackendDescription& description() const override { return description_; }

  Result<LogitsRows> Decode(std::span<const BatchRow> rows) override {
    FORETOKEN_ASSIGN_OR_RETURN(const int32_t logits_rows, FillBatch(rows));
    ClearLlamaError();
    int32_t code = 0;
    try {
      code = Forward();
    } catch (const std::exception& error) {
      return InternalError(
          fmt::format("llama.cpp failed on {} rows: {}", rows.size(), error.what()));
    }
    switch (code) {
      case 0:
        break;
      case 1:
        return ResourceExhaustedError(fmt::format("no room for {} more tokens in a KV cache of {}",
                                                  rows.size(), description_.cache_tokens));
      case 2:
        return CancelledError("the forward was aborted");
      case -1:
        return InvalidArgumentError(
            fmt::format("llama.cpp refused a batch of {} rows{}", rows.size(), TakeLlamaError()));
      default:
        return InternalError(fmt::format("llama.cpp failed with code {} on {} rows{}", code,
                                         rows.size(), TakeLlamaError()));
    }
    if (logits_rows == 0) return LogitsRows(nullptr, 0, description_.vocabulary_size, device_us_);
    const float* logits = llama_get_logits(context_.get());
    if (logits == nullptr) return InternalError("llama.cpp returned no logits");
    return LogitsRows(logits, logits_rows, description_.vocabulary_size, device_us_);
  }

  Status Truncate(SequenceId sequence, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    // llama.cpp takes a negative position for all of them.
    if (length < 0) return InvalidArgumentError(fmt::format("a length of {}", length));
    if (!llama_memory_seq_rm(memory_, LlamaId(sequence), length, -1)) {
      return UnimplementedError("this model's memory cannot be cut back to a shorter length");
    }
    return OkStatus();
  }

  Status Fork(SequenceId source, SequenceId target, int32_t length) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(source));
    FORETOKEN_RETURN_IF_ERROR(CheckEmpty(target));
    const int32_t cached = CachedTokens(source);
    if (length < 0 || length > cached) {
      return InvalidArgumentError(
          fmt::format("a fork of {} tokens of a sequence of {}", length, cached));
    }
    if (length < cached && !description_.can_truncate) {
      return UnimplementedError("this model's memory cannot share a part of a sequence");
    }
    llama_memory_seq_cp(memory_, LlamaId(source), LlamaId(target), 0, length);
    return OkStatus();
  }

  Result<std::vector<uint8_t>> SaveSequence(SequenceId sequence) override {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(sequence));
    // Of a sliding window llama.cpp saves what the next token sees, too little to be cut back.
    if (!description_.can_truncate || llama_model_n_swa(weights_->model()) > 0) {
      return UnimplementedError("this model's memory cannot be saved whole");
    }
    StateHeader header = ExpectedHeader();
    header.tokens = CachedTokens(sequence);
    if (header.tokens == 0) return FailedPreconditionError("nothing is cached of the sequence");
    ClearLlamaError();
    try {
      header.state_bytes = llama_state_seq_get_size(context_.get(), LlamaId(sequence));
      std::vector<uint8_t> state(sizeof(header) + header.state_bytes);
      std::memcpy(state.data(), &header, sizeof(header));
      const size_t written = llama_state_seq_get_data(context_.get(), state.data() + sizeof(header),
                                                      header.state_bytes, LlamaId(sequence));
      if (written != 0 && written == header.state_bytes) return state;
    } catch (const std::exception& error) {
      return ResourceExhaustedError(std::string("a sequence could not be saved: ") + error.what());
    }
    return InternalError("llama.cpp could not save a sequence" + TakeLlamaError());
  }

  Status RestoreSequence(SequenceId target, std::span<const uint8_t> state) override {
    FORETOKEN_RETURN_IF_ERROR(CheckEmpty(target));
    StateHeader header;
    const StateHeader expected = ExpectedHeader();
    if (state.size() < sizeof(header)) return DataLossError("not a saved sequence");
    std::memcpy(&header, state.data(), sizeof(header));
    if (header.magic != expected.magic || header.parameters != expected.parameters ||
        header.weight_bytes != expected.weight_bytes ||
        header.state_bytes != state.size() - sizeof(header)) {
      return DataLossError("not a saved sequence of this model, or only a part of it");
    }
    if (header.tokens < 1 || header.tokens > description_.context_tokens) {
      return DataLossError(fmt::format("a saved sequence of {} tokens in a context of {}",
                                       header.tokens, description_.context_tokens));
    }
    ClearLlamaError();
    size_t read = 0;
    try {
      read = llama_state_seq_set_data(context_.get(), state.data() + sizeof(header),
                                      header.state_bytes, LlamaId(target));
    } catch (const std::exception&) {
      read = 0;
    }
    if (read == header.state_bytes && CachedTokens(target) == header.tokens) return OkStatus();
    llama_memory_seq_rm(memory_, LlamaId(target), -1, -1);
    if (read != 0) return DataLossError("a saved sequence that is not what its header says");
    return ResourceExhaustedError(fmt::format("no room to restore {} tokens in a KV cache of {}{}",
                                              header.tokens, description_.cache_tokens,
                                              TakeLlamaError()));
  }

  Status UseAdapter(const LoadedAdapter* adapter, float scale) override {
    if (!std::isfinite(scale)) return InvalidArgumentError("an adapter's scale must be finite");
    llama_adapter_lora* handle = nullptr;
    if (adapter != nullptr) {
      const auto* llama_adapter = dynamic_cast<const LlamaAdapter*>(adapter);
      if (llama_adapter == nullptr || &llama_adapter->weights() != weights_.get()) {
        return InvalidArgumentError("an adapter of another model");
      }
      handle = llama_adapter->handle();
    }
    // Nothing is computed here: the next forward lays its buffers out anew if this is a change.
    llama_set_adapters_lora(context_.get(), &handle, handle != nullptr ? 1 : 0, &scale);
    reserves_next_ = true;
    return OkStatus();
  }

 private:
  LlamaBackend(std::shared_ptr<LlamaWeights> weights, BackendOptions options)
      : weights_(std::move(weights)), options_(std::move(options)) {}

  Status Initialize() {
    const int32_t threads = options_.threads > 0 ? options_.threads : DefaultThreadCount().threads;
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(options_.kv_cache_tokens);
    params.n_batch = static_cast<uint32_t>(options_.max_batch_rows);
    params.n_ubatch = params.n_batch;  // one batch is one forward
    params.n_seq_max = static_cast<uint32_t>(options_.max_sequences);
    // llama.cpp asserts that there is a row of output for every sequence.
    params.n_outputs_max =
        static_cast<uint32_t>(std::max(options_.max_logits_rows, options_.max_sequences));
    const bool invariant = weights_->kernels() == CpuKernels::kInvariant;
    // Our kernels bring a team of their own; ggml's barriers return at once with one thread.
    params.n_threads = invariant ? 1 : threads;
    params.n_threads_batch = params.n_threads;
    if (invariant) params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    if (!invariant && !options_.flash_attention) {
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    }
    params.type_k = params.type_v =
        options_.cache_type == CacheType::kQ8_0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
    params.kv_unified = true;
    params.swa_full = true;  // a window that forgets could not be rolled back
    params.no_perf = true;
    params.abort_callback = [](void* self) {
      const auto& should_abort = static_cast<LlamaBackend*>(self)->options_.should_abort;
      return should_abort && should_abort();
    };
    params.abort_callback_data = this;
    if (options_.tensor_observer) {
      params.cb_eval = ObserveTensor;
      params.cb_eval_user_data = this;
    }
    ClearLlamaError();
    try {
      MutexLock lock(weights_->adapters_mutex);
      context_.reset(llama_init_from_model(weights_->model(), params));
    } catch (const std::exception& error) {
      return ResourceExhaustedError(std::string("no context could be made: ") + error.what());
    }
    if (!context_) {
      return ResourceExhaustedError(
          fmt::format("no room for a KV cache of {} tokens; ask for a smaller one{}",
                      options_.kv_cache_tokens, TakeLlamaError()));
    }
    ggml_threadpool* pool = SharedThreadPool(params.n_threads);
    if (pool == nullptr) return ResourceExhaustedError("no worker threads could be started");
    llama_attach_threadpool(context_.get(), pool, pool);
    memory_ = llama_get_memory(context_.get());
    if (invariant) {
      cell_positions_.emplace(memory_);
      kernels_.emplace(&SharedThreadTeam(threads), &*cell_positions_, options_.kernel_report.get());
    }

    description_.vocabulary_size = llama_vocab_n_tokens(llama_model_get_vocab(weights_->model()));
    // llama.cpp rounds the size up; what was asked for is what there is.
    description_.context_tokens = options_.context_tokens;
    description_.cache_tokens = options_.kv_cache_tokens;
    description_.max_batch_rows = static_cast<int32_t>(llama_n_ubatch(context_.get()));
    description_.max_logits_rows = options_.max_logits_rows;
    description_.max_sequences = options_.max_sequences;
    FORETOKEN_RETURN_IF_ERROR(ProbeTruncation());
    description_.batch_invariant = kernels_ && kernels_->stock_operations().empty();
    description_.cost_identity = CostIdentity(threads);
    return OkStatus();
  }

  int32_t Forward() {
    DeviceTurn turn(*options_.device);
    const ForwardScope scope(kernels_ ? &*kernels_ : nullptr);
    const auto start = std::chrono::steady_clock::now();
    const int32_t code = DecodeBatch();
    device_us_ = std::chrono::duration_cast<std::chrono::microseconds>(
                     std::chrono::steady_clock::now() - start)
                     .count();
    return code;
  }

  // llama.cpp asks whether the tensor is wanted, and calls again when it is computed.
  static bool ObserveTensor(ggml_tensor* tensor, bool asks, void* self) {
    const TensorObserver& observer = *static_cast<LlamaBackend*>(self)->options_.tensor_observer;
    const bool wanted = observer.wanted && tensor->type == GGML_TYPE_F32 &&
                        ggml_is_contiguous(tensor) && tensor->view_src == nullptr &&
                        tensor->data != nullptr;
    if (asks) return wanted;
    const auto* values = static_cast<const float*>(tensor->data);
    observer.see({.operation = ggml_op_name(tensor->op),
                  .name = tensor->name,
                  .values = {values, static_cast<size_t>(ggml_nelements(tensor))}});
    return true;
  }

  int32_t DecodeBatch() {
    if (!reserves_next_) return llama_decode(context_.get(), batch_);
    MutexLock lock(weights_->adapters_mutex);
    const int32_t code = llama_decode(context_.get(), batch_);
    reserves_next_ = false;
    return code;
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

  std::string CostIdentity(int32_t threads) const {
    std::array<char, 128> kind{};
    llama_model_desc(weights_->model(), kind.data(), kind.size());
    return fmt::format("{}, {} bytes, {} cache, {} kernels, {} threads, {} {}", kind.data(),
                       llama_model_size(weights_->model()),
                       options_.cache_type == CacheType::kQ8_0 ? "q8_0" : "f16",
                       kernels_ ? InstructionSetName(BestInstructionSet()) : "stock", threads,
                       CpuModelName(), llama_print_system_info());
  }

  static llama_seq_id LlamaId(SequenceId sequence) { return static_cast<llama_seq_id>(sequence); }

  int32_t CachedTokens(SequenceId sequence) const {
    return llama_memory_seq_pos_max(memory_, LlamaId(sequence)) + 1;
  }

  // A header without the sizes.
  StateHeader ExpectedHeader() const {
    return {.magic = kStateMagic,
            .parameters = llama_model_n_params(weights_->model()),
            .weight_bytes = llama_model_size(weights_->model())};
  }

  Status CheckEmpty(SequenceId target) const {
    FORETOKEN_RETURN_IF_ERROR(CheckSequence(target));
    if (CachedTokens(target) > 0) return FailedPreconditionError("the target is not empty");
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
        if (next < 0) next = CachedTokens(sequence);
        if (row.position != next) {
          return InvalidArgumentError(fmt::format(
              "position {} does not continue a sequence of {} tokens", row.position, next));
        }
        ++next;
      }
      if (row.position >= description_.context_tokens) {
        return InvalidArgumentError(fmt::format("position {} in a context of {} tokens",
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

  const std::shared_ptr<LlamaWeights> weights_;
  const BackendOptions options_;
  BackendDescription description_;
  LlamaContextHandle context_;
  llama_memory_t memory_ = nullptr;
  std::optional<LlamaCellPositions> cell_positions_;
  std::optional<GgmlForward> kernels_;  // absent: ggml's own
  int64_t device_us_ = 0;               // of the last forward
  bool reserves_next_ = false;  // the adapter in use may have changed since the last forward

  // The batch's arrays, kept to save allocations.
  llama_batch batch_{};
  std::vector<llama_token> tokens_;
  std::vector<llama_pos> positions_;
  std::vector<int32_t> sequence_counts_;
  std::vector<llama_seq_id*> sequence_pointers_;
  std::vector<int8_t> wants_logits_;
  std::vector<int32_t> next_positions_;  // by sequence; negative: not in this batch
};

}  // namespace

Result<std::unique_ptr<ModelBackend>> NewLlamaBackend(std::shared_ptr<LlamaWeights> weights,
                                                      const BackendOptions& options) {
  return LlamaBackend::Create(std::move(weights), options);
}

}  // namespace foretoken
