#include "sampling/noisy_argmax.h"

#include <algorithm>
#include <cstddef>

namespace foretoken {
namespace {

// At least a token's score. Halving keeps the difference of two finite floats finite.
struct ScoreBound {
  float half_max;
  float double_inverse_temperature;
  RowNoise::Key key;

  float operator()(float logit, uint32_t token) const {
    return (0.5f * logit - half_max) * double_inverse_temperature +
           GumbelUpperBound(MixToken(token, key.a, key.b));
  }
};

// A winner's score is above -3.7, so only tokens with Scaled(logit) > -50 can win; float rounding
// moves their bound by less than 1e-4.
constexpr float kBoundMargin = 1e-3f;

class Contest {
 public:
  Contest(const ScaledRow& row, const RowNoise& noise)
      : row_(row),
        noise_(noise),
        bound_{0.5f * row.max_logit,
               static_cast<float>(std::min<double>(2 * row.inverse_temperature, kMaxLogit)),
               noise.high_key()} {
    Meet(row.max_logit, row.argmax);  // every filter keeps it, and it is likely hard to beat
  }

  void Try(float logit, TokenId token) {
    if (bound_(logit, static_cast<uint32_t>(token)) > threshold_) Meet(logit, token);
  }
  const ScoreBound& bound() const { return bound_; }
  float threshold() const { return threshold_; }
  TokenId winner() const { return winner_; }

 private:
  void Meet(float logit, TokenId token) {
    const double score = row_.Scaled(logit) + noise_.Gumbel(token);
    if (winner_ >= 0 && (score < score_ || (score == score_ && token > winner_))) return;
    score_ = score;
    winner_ = token;
    threshold_ = static_cast<float>(score) - kBoundMargin;
  }

  const ScaledRow& row_;
  const RowNoise& noise_;
  const ScoreBound bound_;
  double score_ = 0;
  TokenId winner_ = -1;
  float threshold_ = 0;
};

}  // namespace

TokenId NoisyArgmax(const ScaledRow& row, const Support& support, const RowNoise& noise) {
  Contest contest(row, noise);
  if (support.tokens != nullptr) {
    const Candidates& tokens = *support.tokens;
    for (size_t i = 0; i < tokens.size(); ++i) contest.Try(LogitOf(tokens.keys[i]), tokens.ids[i]);
    return contest.winner();
  }
  const ScoreBound bound = contest.bound();
  const Cut cut = support.cut;
  for (size_t begin = 0; begin < row.logits.size(); begin += kBlockTokens) {
    const size_t count = std::min(kBlockTokens, row.logits.size() - begin);
    const float* block = row.logits.data() + begin;
    const uint32_t first = static_cast<uint32_t>(begin);
    const float threshold = contest.threshold();
    uint32_t any = 0;
    for (size_t i = 0; i < count; ++i) {
      any |= static_cast<uint32_t>(bound(block[i], first + static_cast<uint32_t>(i)) > threshold) &
             static_cast<uint32_t>(block[i] >= cut.logit);
    }
    if (any == 0) continue;
    for (size_t i = 0; i < count; ++i) {
      const TokenId token = static_cast<TokenId>(begin + i);
      if (cut.Keeps(block[i], token)) contest.Try(block[i], token);
    }
  }
  return contest.winner();
}

}  // namespace foretoken
