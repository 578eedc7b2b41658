#include "testing/budget_simulator.h"

#include <algorithm>

namespace foretoken {

double CostCurve::Us(double rows) const {
  if (points.size() == 1 || rows <= points.front().first) return points.front().second;
  size_t i = 1;
  while (i + 1 < points.size() && points[i].first < rows) ++i;
  const auto& [x0, y0] = points[i - 1];
  const auto& [x1, y1] = points[i];
  return y0 + (y1 - y0) * (rows - x0) / (x1 - x0);
}

std::vector<CostCurve> StandardCurves() {
  return {
      {"stock",
       {{1, 25e3}, {2, 40e3}, {4, 65e3}, {8, 105e3}, {12, 131e3}, {16, 123e3}, {128, 779e3}}},
      {"good", {{1, 20e3}, {2, 21e3}, {4, 23e3}, {8, 29e3}, {12, 38e3}, {16, 48e3}, {128, 330e3}}},
      {"moe",
       {{1, 20e3},
        {2, 34e3},
        {4, 52e3},
        {8, 70e3},
        {16, 84e3},
        {32, 95e3},
        {64, 110e3},
        {128, 140e3}}},
      {"gpu", {{1, 10e3}, {64, 10.5e3}, {128, 12e3}, {256, 24e3}, {512, 48e3}}},
      {"linear", {{1, 10e3}, {2, 20e3}}},
  };
}

BudgetSimulator::BudgetSimulator(SimulationOptions options, int32_t draft_tokens)
    : options_(std::move(options)),
      draft_tokens_(draft_tokens),
      random_(options_.seed),
      requests_(static_cast<size_t>(options_.sequences)),
      acceptance_(static_cast<size_t>(options_.tenants)),
      tenant_positions_(static_cast<size_t>(options_.tenants), 0) {
  for (Request& request : requests_) Admit(request);
}

double BudgetSimulator::Uniform(uint64_t a, uint64_t b, uint64_t c) const {
  uint64_t h = options_.seed;
  for (const uint64_t x : {a, b, c}) {
    h += x + 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    h ^= h >> 31;
  }
  return static_cast<double>(h >> 11) * 0x1p-53;
}

void BudgetSimulator::Admit(Request& request) {
  request.id = next_request_++;
  request.length =
      options_.least_length + static_cast<int32_t>((options_.most_length - options_.least_length) *
                                                   Uniform(request.id, 1, 0));
  // The first ones are somewhere in their answers already, so that they do not end together.
  if (request.id < requests_.size()) {
    request.length =
        1 + static_cast<int32_t>(request.length * (static_cast<double>(request.id) + 1) /
                                 static_cast<double>(requests_.size()));
  }
  request.prompt = options_.prompt_tokens;
  request.committed = 0;
  request.cached = 0;
  request.idle = static_cast<int32_t>((options_.idle_steps + 1) * Uniform(request.id, 2, 0));
  request.prefilled = options_.prompt_tokens == 0;
  request.band = options_.band ? options_.band(request.id) : TemperatureBand::kZero;
  request.acceptance = {};
}

void BudgetSimulator::MakeOffers(Request& request) {
  request.offers.clear();
  request.confidences.assign(options_.sources.size(), {});
  const int32_t most = std::min(options_.max_tokens, request.length - request.committed - 1);
  for (size_t s = 0; s < options_.sources.size(); ++s) {
    const SimulatedSource& source = options_.sources[s];
    DraftOffer offer{.source = source.source};
    std::vector<float>& confidences = request.confidences[s];
    for (; offer.max_tokens < most; ++offer.max_tokens) {
      const SimulatedToken token =
          source.token(request.id, request.committed + offer.max_tokens, phase_);
      if (!token.offered) break;
      if (token.confidence >= 0) confidences.push_back(token.confidence);
    }
    offer.confidences = confidences;
    if (source.source == DraftSourceKind::kDraftModel) {
      offer.draft_model = 0;
      if (options_.catch_up) {
        offer.catch_up_tokens = request.prompt + request.committed - request.cached - 1;
      }
    }
    request.offers.push_back(offer);
  }
}

double BudgetSimulator::Measured(double us) {
  us *= 1 + options_.noise * std::uniform_real_distribution<double>(-1, 1)(random_);
  if (std::bernoulli_distribution(options_.outliers)(random_)) us *= 5;
  return us;
}

double BudgetSimulator::DraftUs(double rows) const {
  return options_.draft_cost * (0.3 * options_.target.Us(1) + 0.7 * options_.target.Us(rows)) *
         slow_down_;
}

SimulatedStep BudgetSimulator::Step() {
  slow_down_ = 1 + options_.drift * static_cast<double>(steps_++) / 1000;
  std::vector<Request*> running;
  int32_t prefill_rows = 0;
  for (Request& request : requests_) {
    if (request.idle > 0) {
      --request.idle;
    } else if (!request.prefilled) {
      prefill_rows += request.prompt;
      request.prefilled = true;  // and decodes from the next step on
    } else {
      running.push_back(&request);
    }
  }
  if (running.empty() && prefill_rows == 0) return {};

  std::vector<BudgetSequence> sequences;
  for (Request* request : running) {
    MakeOffers(*request);
    const auto tenant = static_cast<size_t>(request->id) % acceptance_.size();
    sequences.push_back({.tenant = static_cast<int64_t>(tenant),
                         .band = request->band,
                         .acceptance = &acceptance_[tenant],
                         .request = &request->acceptance,
                         .prompt_tokens = request->prompt,
                         .generated_tokens = request->committed,
                         .remaining_tokens = request->length - request->committed,
                         .offers = request->offers});
  }
  std::vector<DraftGrant> grants(running.size());
  if (draft_tokens_ == kAuto) {
    const auto chosen = budget_.Choose(sequences, prefill_rows, options_.max_rows);
    grants.assign(chosen.begin(), chosen.end());
  } else {
    for (size_t i = 0; i < running.size(); ++i) {
      for (size_t o = 0; o < sequences[i].offers.size(); ++o) {
        const int32_t tokens = std::min(draft_tokens_, sequences[i].offers[o].max_tokens);
        if (tokens <= 0) continue;
        grants[i] = {static_cast<int32_t>(o), tokens};
        break;
      }
    }
  }

  SimulatedStep step;
  std::vector<int32_t> draft_rows;
  std::vector<DraftOutcome> outcomes(running.size());
  for (size_t i = 0; i < running.size(); ++i) {
    Request& request = *running[i];
    const DraftGrant& grant = grants[i];
    step.expected_tokens += 1;
    int32_t accepted = 0;
    if (grant.tokens > 0) {
      const SimulatedSource& source = options_.sources[static_cast<size_t>(grant.offer)];
      const DraftOffer& offer = request.offers[static_cast<size_t>(grant.offer)];
      step.drafted += grant.tokens;
      tenant_positions_[request.id % acceptance_.size()] += grant.tokens;
      double survival = 1;
      bool right = true;
      for (int32_t d = 0; d < grant.tokens; ++d) {
        const int32_t position = request.committed + d;
        const double p = source.token(request.id, position, phase_).acceptance;
        survival *= p;
        step.expected_tokens += survival;
        right = right && Uniform(request.id, 3 + static_cast<uint64_t>(source.source),
                                 static_cast<uint64_t>(position)) < p;
        if (right) ++accepted;
      }
      if (offer.draft_model >= 0) {
        if (draft_rows.size() < static_cast<size_t>(grant.tokens)) {
          draft_rows.resize(static_cast<size_t>(grant.tokens), 0);
        }
        for (int32_t d = 0; d < grant.tokens; ++d) ++draft_rows[static_cast<size_t>(d)];
        draft_rows[0] += offer.catch_up_tokens;
        request.cached = request.prompt + request.committed + std::min(accepted, grant.tokens - 1);
      }
    }
    step.tokens += 1 + accepted;
    outcomes[i] = {grant.tokens, accepted};
  }

  const auto n = static_cast<double>(running.size());
  const double target_us = options_.target.Us(n + prefill_rows + step.drafted) * slow_down_;
  step.us = target_us;
  std::vector<DraftForward> forwards;
  for (const int32_t rows : draft_rows) {
    const double us = DraftUs(rows);
    step.us += us;
    forwards.push_back({0, rows, Measured(us)});
  }
  const double decode_us = options_.target.Us(n) * slow_down_;
  step.plain_us = options_.target.Us(n + prefill_rows) * slow_down_;
  if (!running.empty()) step.plain_us += (step.tokens / n - 1) * decode_us;
  if (draft_tokens_ == kAuto) {
    budget_.Observe(sequences, {.target_rows = static_cast<int32_t>(running.size()) + prefill_rows +
                                               step.drafted,
                                .target_us = Measured(target_us),
                                .draft_forwards = forwards,
                                .sequences = outcomes});
  }
  for (size_t i = 0; i < running.size(); ++i) {
    Request& request = *running[i];
    request.committed += outcomes[i].accepted + 1;
    if (request.committed >= request.length) Admit(request);
  }
  return step;
}

}  // namespace foretoken
