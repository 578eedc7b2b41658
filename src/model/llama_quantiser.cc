#include "model/llama_quantiser.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/cpu_count.h"
#include "base/macros.h"
#include "model/importance_matrix.h"
#include "model/llama_library.h"

namespace foretoken {
namespace {

// Rows in memory at a time.
constexpr size_t kBufferBytes = size_t{512} << 20;

// llama.cpp says in its log alone how far it is, what it will write and why it failed.
class QuantiserLog {
 public:
  explicit QuantiserLog(const QuantiseObserver& observer) : observer_(observer) {}

  void Read(std::string_view text) {
    // "[   7/ 290] blk.0.attn_q.weight - [ 896, ...": a tensor is begun.
    const size_t name = text.find("] ");
    const size_t name_end = text.find(" - [");
    if (text.starts_with('[') && name < name_end && name_end != text.npos) {
      std::string_view tensor = text.substr(name + 2, name_end - name - 2);
      tensor = tensor.substr(0, tensor.find_last_not_of(' ') + 1);
      if (!is_trial_ && observer_.tensor) observer_.tensor(tensor);
    }
    // "...: quant size  =   265.56 MiB (4.50 BPW)": of the tensors alone.
    if (const size_t size = text.find("quant size"); is_trial_ && size != text.npos) {
      const size_t number = text.find('=', size);
      if (number == text.npos) return;
      const double mib = std::strtod(std::string(text.substr(number + 1)).c_str(), nullptr);
      if (mib > 0 && observer_.tensor_bytes) {
        observer_.tensor_bytes(static_cast<uint64_t>(mib * (1 << 20)));
      }
    }
    constexpr std::string_view kFailed = "failed to quantize: ";
    if (const size_t failed = text.find(kFailed); failed != text.npos) {
      reason_ = text.substr(failed + kFailed.size());
      reason_.erase(std::remove(reason_.begin(), reason_.end(), '\n'), reason_.end());
    }
  }
  void set_is_trial(bool is_trial) { is_trial_ = is_trial; }
  const std::string& reason() const { return reason_; }

 private:
  const QuantiseObserver& observer_;
  bool is_trial_ = true;
  std::string reason_;
};

}  // namespace

Status QuantiseWithLlama(const QuantiseRequest& request, const QuantiseObserver& observer) {
  llama_model_quantize_params params = llama_model_quantize_default_params();
  params.nthread = request.threads > 0 ? request.threads : PhysicalCoreCount();
  params.only_copy = request.type.file_type < 0;
  if (!params.only_copy) params.ftype = static_cast<llama_ftype>(request.type.file_type);
  params.pure = request.pure;
  params.allow_requantize = true;
  params.max_buf_size = kBufferBytes;

  ImportanceMatrix importance;
  std::vector<llama_model_imatrix_data> entries;
  if (!request.importance_path.empty()) {
    FORETOKEN_ASSIGN_OR_RETURN(importance, ReadImportanceMatrix(request.importance_path));
    for (const auto& [name, values] : importance) {
      entries.push_back({name.c_str(), values.data(), values.size()});
    }
    entries.push_back({});  // the end
    params.imatrix = entries.data();
  }

  InitializeLlama();
  QuantiserLog log(observer);
  const LlamaLogTap tap([&log](std::string_view text) { log.Read(text); });
  const auto run = [&](bool is_trial) -> Status {
    log.set_is_trial(is_trial);
    params.dry_run = is_trial;
    try {
      if (llama_model_quantize(request.input_path.c_str(), request.output_path.c_str(), &params) ==
          0) {
        return OkStatus();
      }
    } catch (const std::exception& error) {
      return InternalError(fmt::format("{}: {}", request.input_path, error.what()));
    }
    return InternalError(fmt::format("{}: llama.cpp cannot store it as {}{}", request.input_path,
                                     request.type.name,
                                     log.reason().empty() ? "" : ": " + log.reason()));
  };
  FORETOKEN_RETURN_IF_ERROR(run(/*is_trial=*/true));
  return run(/*is_trial=*/false);
}

}  // namespace foretoken
