#ifndef FORETOKEN_SPECULATIVE_PREDICTION_DRAFT_H_
#define FORETOKEN_SPECULATIVE_PREDICTION_DRAFT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "speculative/draft_model.h"

namespace foretoken {

// The text that a client expects as the answer, as a draft source: proposes it token by token.
// Where the output has left it, looks for the place at which the two last committed tokens and as
// many before them as possible (up to 16) occur in it: of equals the nearest one ahead, else the
// nearest one behind. Runs no model. Never fails. A round costs O(tokens committed and proposed),
// the first departure also one pass over the prediction.
class PredictionDraft : public DraftModel {
 public:
  // In the session's vocabulary; expected from the first output token on.
  explicit PredictionDraft(std::vector<TokenId> prediction);

  DraftSourceKind kind() const override { return DraftSourceKind::kPrediction; }
  // None while the output has left the prediction.
  Result<Draft> GenerateDraft(Session& session, int32_t k) override;

 private:
  // Of tokens that the prediction said rightly or not, after runs of a like length.
  struct Record {
    double said = 0;
    double right = 0;
  };

  // A committed token: the last of `output`.
  void Observe(std::span<const TokenId> output);
  void Rejoin(std::span<const TokenId> output);
  void BuildPlaces();
  size_t MatchTokens(std::span<const TokenId> output, size_t place) const;
  Record& RecordFor(size_t run_tokens);
  float Confidence(size_t run_tokens);

  std::vector<TokenId> prediction_;
  size_t seen_output_ = 0;
  // Place in the prediction: of the token expected next, or where the output left it.
  size_t place_ = 0;
  bool is_following_ = true;
  // How many tokens up to here were as predicted.
  size_t run_tokens_;
  std::array<Record, 8> records_;  // by bit width of the run, the last for all longer ones
  // Places behind each pair of tokens, ascending: those of the pairs with hash h are
  // places_[begins_[h]] to places_[begins_[h + 1]], exclusive. Empty until the first departure.
  std::vector<uint32_t> begins_;
  std::vector<uint32_t> places_;
};

}  // namespace foretoken

#endif  // FORETOKEN_SPECULATIVE_PREDICTION_DRAFT_H_
