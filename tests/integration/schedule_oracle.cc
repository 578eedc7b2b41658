#include "integration/schedule_oracle.h"

#include <utility>

#include "engine/text_assembler.h"
#include "sampling/logprobs.h"
#include "sampling/sampler.h"

namespace foretoken {
namespace {

constexpr int32_t kOneRow = 1;

FakeModelOptions OneRowAtATime(FakeModelOptions options, int32_t context_tokens) {
  options.context_tokens = context_tokens;
  options.max_batch_rows = kOneRow;
  options.max_logits_rows = kOneRow;
  return options;
}

}  // namespace

Oracle::Oracle(const FakeModelOptions& target, int32_t context_tokens)
    : context_tokens_(context_tokens),
      model_(NewFakeModel(OneRowAtATime(target, context_tokens))) {}

Answer Oracle::Ask(const GenerateRequest& request, std::span<const AdapterConfig> adapters) const {
  const auto& prompt = std::get<std::vector<TokenId>>(request.prompt);
  const GenerateOptions& options = request.options;
  const auto backend = model_->NewBackend({.max_batch_rows = kOneRow}).value();
  std::shared_ptr<LoadedAdapter> adapter;
  for (const AdapterConfig& config : adapters) {
    if (config.id != options.adapter) continue;
    adapter = model_->LoadAdapter(config.path).value();
    (void)backend->UseAdapter(adapter.get(), config.scale);
  }
  auto sampler =
      Sampler::Create(options.sampling, options.sampling.seed.value(), model_->vocabulary().size())
          .value();
  TokenHistory history(prompt);
  TextAssembler assembler(options.stop);
  std::vector<TokenId> all = prompt;
  Answer answer;
  for (int32_t position = 0; position < context_tokens_; ++position) {
    const bool last = position + 1 == static_cast<int32_t>(all.size());
    const auto logits = backend->Decode(std::vector<BatchRow>{{.token = all[position],
                                                               .position = position,
                                                               .sequences = {SequenceId{0}},
                                                               .wants_logits = last}});
    if (!last) continue;
    GeneratedToken token;
    token.id = sampler.Select((*logits)[0], history, options.choice, position + 1).value();
    if (options.logprobs) {
      RowLogprobs logprobs = ComputeLogprobs((*logits)[0], token.id, *options.logprobs);
      token.logprob = logprobs.chosen;
      token.top_logprobs = std::move(logprobs.top);
    }
    TextAssembler::Output output = assembler.Append(model_->vocabulary().Piece(token.id));
    token.text = output.text;
    answer.text += output.text;
    const bool ends = output.stopped || (!options.ignore_end_of_text &&
                                         model_->vocabulary().IsEndOfGeneration(token.id));
    all.push_back(token.id);
    history.AppendOutput(token.id);
    answer.tokens.push_back(std::move(token));
    if (ends) {
      answer.reason = FinishReason::kStop;
      break;
    }
    if (static_cast<int32_t>(answer.tokens.size()) == options.max_tokens ||
        static_cast<int32_t>(all.size()) == context_tokens_) {
      break;
    }
  }
  answer.text += assembler.Flush();
  return answer;
}

std::string Oracle::TextOf(std::span<const GeneratedToken> tokens,
                           const std::vector<std::string>& stop, bool flush) const {
  TextAssembler assembler(stop);
  std::string text;
  for (const GeneratedToken& token : tokens) {
    text += assembler.Append(model_->vocabulary().Piece(token.id)).text;
  }
  return flush ? text + assembler.Flush() : text;
}

}  // namespace foretoken
