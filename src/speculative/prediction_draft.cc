#include "speculative/prediction_draft.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <utility>

namespace foretoken {
namespace {

// A rejoin needs this many tokens: of single tokens far too many occur by chance.
constexpr size_t kMinMatchTokens = 2;
constexpr size_t kMaxMatchTokens = 16;
// Places that a search looks at, each way: bounds its time where a pair of tokens is everywhere.
constexpr size_t kMaxPlacesAhead = 32;
constexpr size_t kMaxPlacesBehind = 16;
// The start is where the client says it is: as good as a match of this many tokens.
constexpr size_t kRunAtStart = 8;
// A run of m tokens is taken to go on with probability (m + 0.5) / (m + 2.5), which is what random
// edits of source code show, until this request has a record of its own of several times this many.
constexpr double kPriorWeight = 8.0;

size_t HashOf(TokenId first, TokenId second, size_t buckets) {
  const uint64_t key =
      (uint64_t{static_cast<uint32_t>(first)} << 32 | static_cast<uint32_t>(second)) *
      0x9E3779B97F4A7C15u;
  return (key >> 32) & (buckets - 1);
}

}  // namespace

PredictionDraft::PredictionDraft(std::vector<TokenId> prediction)
    : prediction_(std::move(prediction)), run_tokens_(kRunAtStart) {}

Result<Draft> PredictionDraft::GenerateDraft(Session& session, int32_t k) {
  const size_t output_size = session.history.output_size();
  const std::span<const TokenId> output = std::span(session.tokens).last(output_size);
  while (seen_output_ < output_size) Observe(output.first(++seen_output_));
  Draft draft;
  draft.source = kind();
  if (!is_following_) return draft;
  const size_t count =
      std::min<size_t>(static_cast<size_t>(std::max(k, 0)), prediction_.size() - place_);
  for (size_t i = 0; i < count; ++i) {
    draft.tokens.push_back(prediction_[place_ + i]);
    draft.confidence.push_back(Confidence(run_tokens_ + i));
  }
  return draft;
}

void PredictionDraft::Observe(std::span<const TokenId> output) {
  if (is_following_ && place_ < prediction_.size()) {
    const bool is_right = prediction_[place_] == output.back();
    Record& record = RecordFor(run_tokens_);
    record.said += 1;
    record.right += is_right ? 1 : 0;
    if (is_right) {
      ++place_;
      ++run_tokens_;
      return;
    }
  }
  is_following_ = false;
  Rejoin(output);
}

void PredictionDraft::Rejoin(std::span<const TokenId> output) {
  if (output.size() < kMinMatchTokens || prediction_.size() <= kMinMatchTokens) return;
  if (begins_.empty()) BuildPlaces();
  const size_t hash = HashOf(output[output.size() - 2], output.back(), begins_.size() - 1);
  const auto begin = places_.begin() + begins_[hash];
  const auto end = places_.begin() + begins_[hash + 1];
  const auto ahead = std::lower_bound(begin, end, place_);
  size_t best_match = kMinMatchTokens - 1;
  const auto look_at = [&](uint32_t place) {
    const size_t match = MatchTokens(output, place);
    if (match <= best_match) return;
    best_match = match;
    place_ = place;
    run_tokens_ = match;
    is_following_ = true;
  };
  const auto ahead_count = std::min<ptrdiff_t>(end - ahead, kMaxPlacesAhead);
  const auto behind_count = std::min<ptrdiff_t>(ahead - begin, kMaxPlacesBehind);
  std::for_each(ahead, ahead + ahead_count, look_at);
  std::for_each(std::make_reverse_iterator(ahead), std::make_reverse_iterator(ahead - behind_count),
                look_at);
}

// A counting sort of all places by the hash of the pair before them; it keeps them ascending.
void PredictionDraft::BuildPlaces() {
  const size_t buckets = std::bit_ceil(prediction_.size());
  const auto hash_before = [&](size_t place) {
    return HashOf(prediction_[place - 2], prediction_[place - 1], buckets);
  };
  // One bucket further, so that filling a bucket moves its begin to where it belongs.
  begins_.assign(buckets + 2, 0);
  for (size_t place = 2; place < prediction_.size(); ++place) ++begins_[hash_before(place) + 2];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  places_.resize(prediction_.size() - 2);
  for (size_t place = 2; place < prediction_.size(); ++place) {
    places_[begins_[hash_before(place) + 1]++] = static_cast<uint32_t>(place);
  }
  begins_.pop_back();
}

// How many tokens at the end of the output stand before the place, up to kMaxMatchTokens.
size_t PredictionDraft::MatchTokens(std::span<const TokenId> output, size_t place) const {
  const size_t most = std::min({output.size(), place, kMaxMatchTokens});
  size_t match = 0;
  while (match < most && prediction_[place - 1 - match] == output[output.size() - 1 - match]) {
    ++match;
  }
  return match;
}

PredictionDraft::Record& PredictionDraft::RecordFor(size_t run_tokens) {
  const auto width = static_cast<size_t>(std::bit_width(run_tokens));
  return records_[std::min(width, records_.size() - 1)];
}

float PredictionDraft::Confidence(size_t run_tokens) {
  const Record& record = RecordFor(run_tokens);
  const auto run = static_cast<double>(run_tokens);
  const double prior = (run + 0.5) / (run + 2.5);
  return static_cast<float>((record.right + kPriorWeight * prior) / (record.said + kPriorWeight));
}

}  // namespace foretoken
