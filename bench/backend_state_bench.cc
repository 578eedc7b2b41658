// Times what a pause, a fork and another adapter cost on a model, after checking that the logits
// come out the same: a step of one row as it is and after a switch of the adapter, and saving,
// restoring and forking a sequence of 500 tokens.
//   backend_state_bench MODEL.gguf --benchmark_repetitions=9
#include <benchmark/benchmark.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/macros.h"
#include "model/gguf_reader.h"
#include "model/llama_loader.h"
#include "testing/gguf_writer.h"
#include "testing/temp_directory.h"

namespace foretoken {
namespace {

constexpr int32_t kTokens = 500;
constexpr SequenceId kFirst{0};
constexpr SequenceId kSecond{1};

std::vector<BatchRow> Rows(SequenceId sequence, int32_t begin, int32_t end) {
  std::vector<BatchRow> rows;
  for (int32_t i = begin; i < end; ++i) {
    rows.push_back({.token = 100 + i % 1000,
                    .position = i,
                    .sequences = {sequence},
                    .wants_logits = i + 1 == end});
  }
  return rows;
}

// The logits of one more token, which is taken back.
Result<std::vector<float>> Step(ModelBackend& backend, SequenceId sequence) {
  FORETOKEN_ASSIGN_OR_RETURN(const LogitsRows logits,
                             backend.Decode(Rows(sequence, kTokens, kTokens + 1)));
  std::vector<float> row(logits[0].begin(), logits[0].end());
  FORETOKEN_RETURN_IF_ERROR(backend.Truncate(sequence, kTokens));
  return row;
}

// Every matrix of attention and feed-forward, as adapters that are trained usually change.
std::vector<std::string> Matrices(const GgufFile& file) {
  std::vector<std::string> names;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name.starts_with("blk.") && tensor.shape.size() == 2) names.push_back(tensor.name);
  }
  return names;
}

struct Subject {
  std::shared_ptr<LoadedModel> model;
  std::shared_ptr<LoadedAdapter> adapter;
  std::unique_ptr<ModelBackend> backend;
  std::vector<uint8_t> state;
};

Result<Subject> Prepare(const std::string& path) {
  Subject subject;
  FORETOKEN_ASSIGN_OR_RETURN(subject.model, NewLlamaLoader()->Load({.path = path}));
  FORETOKEN_ASSIGN_OR_RETURN(const GgufFile file, ReadGgufFile(path));
  const testing::TempDirectory directory;
  const std::string adapter_path = directory.path() + "/adapter.gguf";
  std::ofstream(adapter_path, std::ios::binary)
      << testing::LoraGguf(file, Matrices(file), 16, 1).Bytes();
  FORETOKEN_ASSIGN_OR_RETURN(subject.adapter, subject.model->LoadAdapter(adapter_path));
  FORETOKEN_ASSIGN_OR_RETURN(
      subject.backend, subject.model->NewBackend(
                           {.context_tokens = 2048, .kv_cache_tokens = 8192, .max_sequences = 16}));
  ModelBackend& backend = *subject.backend;
  FORETOKEN_RETURN_IF_ERROR(backend.Decode(Rows(kFirst, 0, kTokens)).status());
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> expected, Step(backend, kFirst));
  FORETOKEN_ASSIGN_OR_RETURN(subject.state, backend.SaveSequence(kFirst));
  FORETOKEN_RETURN_IF_ERROR(backend.Truncate(kFirst, 0));
  FORETOKEN_RETURN_IF_ERROR(backend.RestoreSequence(kFirst, subject.state));
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> restored, Step(backend, kFirst));
  FORETOKEN_RETURN_IF_ERROR(backend.UseAdapter(subject.adapter.get(), 1));
  FORETOKEN_RETURN_IF_ERROR(Step(backend, kFirst).status());
  FORETOKEN_RETURN_IF_ERROR(backend.UseAdapter(nullptr, 1));
  FORETOKEN_ASSIGN_OR_RETURN(const std::vector<float> back, Step(backend, kFirst));
  if (restored != expected || back != expected) {
    return InternalError("the logits are not what they were");
  }
  return subject;
}

void Check(benchmark::State& run, const Status& status) {
  if (!status.ok()) run.SkipWithError(status.ToString().c_str());
}

void Register(Subject& subject) {
  const auto add = [](const char* name, auto body) {
    benchmark::RegisterBenchmark(name,
                                 [body](benchmark::State& run) {
                                   for (auto _ : run) Check(run, body());
                                 })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  ModelBackend& backend = *subject.backend;
  const auto step_with = [&backend](const LoadedAdapter* adapter) -> Status {
    FORETOKEN_RETURN_IF_ERROR(backend.UseAdapter(adapter, 1));
    return Step(backend, kFirst).status();
  };
  add("step", [step_with] { return step_with(nullptr); });
  add("step_with_adapter", [step_with, &subject] { return step_with(subject.adapter.get()); });
  add("two_steps_with_two_switches", [step_with, &subject]() -> Status {
    FORETOKEN_RETURN_IF_ERROR(step_with(subject.adapter.get()));
    return step_with(nullptr);
  });
  add("save_500_tokens", [&backend] { return backend.SaveSequence(kFirst).status(); });
  add("restore_500_tokens", [&backend, &subject]() -> Status {
    FORETOKEN_RETURN_IF_ERROR(backend.RestoreSequence(kSecond, subject.state));
    return backend.Truncate(kSecond, 0);
  });
  add("fork_500_tokens", [&backend]() -> Status {
    FORETOKEN_RETURN_IF_ERROR(backend.Fork(kFirst, kSecond, kTokens));
    return backend.Truncate(kSecond, 0);
  });
  add("prefill_500_tokens", [&backend]() -> Status {
    FORETOKEN_RETURN_IF_ERROR(backend.Decode(Rows(kSecond, 0, kTokens)).status());
    return backend.Truncate(kSecond, 0);
  });
}

}  // namespace
}  // namespace foretoken

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 2) {
    std::fprintf(stderr, "usage: backend_state_bench MODEL.gguf [--benchmark_...]\n");
    return 2;
  }
  auto subject = foretoken::Prepare(argv[1]);
  if (!subject.ok()) {
    std::fprintf(stderr, "%s\n", subject.status().ToString().c_str());
    return 1;
  }
  std::printf("state of %d tokens: %.1f MB\n", foretoken::kTokens,
              static_cast<double>(subject->state.size()) / 1e6);
  foretoken::Register(*subject);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
