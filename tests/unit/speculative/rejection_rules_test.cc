#include "speculative/rejection_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace foretoken {
namespace {

using Rule = Result<RejectionOutcome> (*)(const RejectionInput&, RejectionChooser&);

// Takes every possible sequence of decisions in turn, so that the product's own code is enumerated.
class EnumeratingChooser final : public RejectionChooser {
 public:
  bool Accept(double probability) override {
    EXPECT_TRUE(probability >= 0 && probability <= 1 + 1e-12) << probability;
    probability = std::min(1.0, probability);
    return Take({probability, 1 - probability}) == 0;
  }
  TokenId Draw(const DrawWeights& weights) override {
    std::vector<double> probabilities;
    double total = 0;
    for (size_t t = 0; t < weights.size(); ++t) {
      EXPECT_GE(weights[t], 0);
      probabilities.push_back(weights[t]);
      total += weights[t];
    }
    EXPECT_NEAR(weights.total(), total, 1e-12);
    if (!(total > 0)) return -1;
    for (double& probability : probabilities) probability /= total;
    return Take(std::move(probabilities));
  }

  double probability() const {
    double product = 1;
    for (const Decision& d : decisions_) product *= d.probabilities[static_cast<size_t>(d.taken)];
    return product;
  }
  // Turns to the next sequence; false when there is none.
  bool Next() {
    next_ = 0;
    for (; !decisions_.empty(); decisions_.pop_back()) {
      Decision& last = decisions_.back();
      last.taken = FirstPossible(last.probabilities, last.taken + 1);
      if (last.taken >= 0) return true;
    }
    return false;
  }

 private:
  struct Decision {
    std::vector<double> probabilities;
    int taken;
  };

  static int FirstPossible(const std::vector<double>& probabilities, int from) {
    for (size_t i = static_cast<size_t>(from); i < probabilities.size(); ++i) {
      if (probabilities[i] > 0) return static_cast<int>(i);
    }
    return -1;
  }
  int Take(std::vector<double> probabilities) {
    if (next_ == decisions_.size()) {
      const int first = FirstPossible(probabilities, 0);
      decisions_.push_back({std::move(probabilities), first});
    }
    return decisions_[next_++].taken;
  }

  std::vector<Decision> decisions_;
  size_t next_ = 0;
};

// A target and a draft over a tiny vocabulary whose laws depend on the tokens before.
struct World {
  size_t vocabulary = 2;
  size_t draft_tokens = 1;
  // By length of the prefix, then by the prefix read as a number in base `vocabulary`.
  std::vector<std::vector<Distribution>> target;
  std::vector<std::vector<std::optional<Distribution>>> draft;
  std::vector<std::vector<TokenId>> fixed_draft;  // the token where `draft` is absent
  // Whether the rules see laws without their trailing zeros, as of vocabularies of unequal size.
  bool strips_zeros = false;
};

Distribution Stripped(Distribution law) {
  while (law.size() > 1 && law.back() == 0) law.pop_back();
  return law;
}

struct Outcome {
  std::vector<double> law;  // of the first draft_tokens + 1 tokens of output
  double accepted_tokens = 0;
};

size_t OutputCount(const World& world) {
  size_t count = 1;
  for (size_t i = 0; i <= world.draft_tokens; ++i) count *= world.vocabulary;
  return count;
}

// Adds `mass` to the outputs that start with `length` tokens `prefix` and go on as the target does.
void Continue(const World& world, size_t prefix, size_t length, double mass,
              std::vector<double>& law) {
  if (length == world.draft_tokens + 1) {
    law[prefix] += mass;
    return;
  }
  for (size_t t = 0; t < world.vocabulary; ++t) {
    const double p = world.target[length][prefix][t];
    if (p > 0) Continue(world, prefix * world.vocabulary + t, length + 1, mass * p, law);
  }
}

class Enumeration {
 public:
  Enumeration(const World& world, Rule rule) : world_(world), rule_(rule) {
    outcome_.law.resize(OutputCount(world));
    Draft(0, 1.0);
  }
  const Outcome& outcome() const { return outcome_; }

 private:
  // Drafts on in every way from tokens_, whose number is `prefix`, then applies the rule.
  void Draft(size_t prefix, double mass) {
    const size_t length = tokens_.size();
    Distribution p = world_.target[length][prefix];
    target_laws_.push_back(world_.strips_zeros ? Stripped(p) : p);
    if (length == world_.draft_tokens) {
      Decide(mass);
    } else {
      const std::optional<Distribution>& q = world_.draft[length][prefix];
      draft_laws_.push_back(q && world_.strips_zeros ? Stripped(*q) : q);
      for (size_t t = 0; t < world_.vocabulary; ++t) {
        const bool is_fixed = static_cast<TokenId>(t) == world_.fixed_draft[length][prefix];
        const double probability = q ? (*q)[t] : (is_fixed ? 1.0 : 0.0);
        if (probability == 0) continue;
        tokens_.push_back(static_cast<TokenId>(t));
        Draft(prefix * world_.vocabulary + t, mass * probability);
        tokens_.pop_back();
      }
      draft_laws_.pop_back();
    }
    target_laws_.pop_back();
  }

  void Decide(double draft_mass) {
    EnumeratingChooser chooser;
    do {
      const Result<RejectionOutcome> result = rule_({tokens_, draft_laws_, target_laws_}, chooser);
      ASSERT_TRUE(result.ok()) << result.status().ToString();
      const double mass = draft_mass * chooser.probability();
      size_t prefix = 0;
      for (int32_t i = 0; i < result->accepted_tokens; ++i) {
        prefix = prefix * world_.vocabulary + static_cast<size_t>(tokens_[static_cast<size_t>(i)]);
      }
      prefix = prefix * world_.vocabulary + static_cast<size_t>(result->next_token);
      outcome_.accepted_tokens += mass * result->accepted_tokens;
      Continue(world_, prefix, static_cast<size_t>(result->accepted_tokens) + 1, mass,
               outcome_.law);
    } while (chooser.Next());
  }

  const World& world_;
  Rule rule_;
  Outcome outcome_;
  std::vector<TokenId> tokens_;
  std::vector<std::optional<Distribution>> draft_laws_;
  std::vector<Distribution> target_laws_;
};

Outcome Enumerate(const World& world, Rule rule) {
  return Enumeration(world, rule).outcome();
}

std::vector<double> TargetLaw(const World& world) {
  std::vector<double> law(OutputCount(world));
  Continue(world, 0, 0, 1.0, law);
  return law;
}

class WorldMaker {
 public:
  explicit WorldMaker(uint32_t seed) : random_(seed) {}

  Distribution RandomLaw(size_t vocabulary, double zero_probability) {
    Distribution law(vocabulary);
    for (double& weight : law) {
      weight = Uniform() < zero_probability ? 0 : -std::log(1 - Uniform());
    }
    law[random_() % vocabulary] += 0.1;
    double total = 0;
    for (double weight : law) total += weight;
    for (double& weight : law) weight /= total;
    return law;
  }

  // `draft_law(prefix length, p)` gives q, or nothing for a token that is not drawn.
  template <typename DraftLaw>
  World Make(size_t vocabulary, size_t draft_tokens, double zero_probability, DraftLaw draft_law) {
    World world;
    world.vocabulary = vocabulary;
    world.draft_tokens = draft_tokens;
    world.strips_zeros = random_() % 2 == 0;
    size_t prefixes = 1;
    for (size_t length = 0; length <= draft_tokens; ++length, prefixes *= vocabulary) {
      world.target.emplace_back();
      world.draft.emplace_back();
      world.fixed_draft.emplace_back();
      for (size_t i = 0; i < prefixes; ++i) {
        world.target.back().push_back(RandomLaw(vocabulary, zero_probability));
        world.draft.back().push_back(draft_law(length, world.target.back().back()));
        world.fixed_draft.back().push_back(static_cast<TokenId>(random_() % vocabulary));
      }
    }
    return world;
  }

  double Uniform() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  std::mt19937& random() { return random_; }

 private:
  std::mt19937 random_;
};

// Both rules keep the target's law and block verification accepts no fewer tokens. Returns how many
// more it accepts.
double CheckWorld(const World& world) {
  const std::vector<double> target_law = TargetLaw(world);
  const Outcome token = Enumerate(world, VerifyByTokenRejection);
  const Outcome block = Enumerate(world, VerifyByBlock);
  for (size_t i = 0; i < target_law.size(); ++i) {
    EXPECT_NEAR(token.law[i], target_law[i], 1e-12);
    EXPECT_NEAR(block.law[i], target_law[i], 1e-12);
  }
  EXPECT_GE(block.accepted_tokens, token.accepted_tokens - 1e-12);
  return block.accepted_tokens - token.accepted_tokens;
}

using Shape = std::pair<size_t, size_t>;
const std::vector<Shape> kShapes = {{2, 1}, {2, 2}, {2, 3}, {2, 4}, {3, 1}, {3, 2}, {3, 3}, {3, 4}};

TEST(RejectionRulesTest, RandomLawsGiveTheTargetsLaw) {
  WorldMaker maker(1);
  int gains = 0;
  for (int trial = 0; trial < 150; ++trial) {
    for (const auto& [vocabulary, draft_tokens] : kShapes) {
      const double zeros = trial % 3 == 2 ? 0.4 : 0.0;
      const double gain = CheckWorld(
          maker.Make(vocabulary, draft_tokens, zeros, [&](size_t, const Distribution& p) {
            return std::optional(maker.RandomLaw(p.size(), zeros));
          }));
      if (draft_tokens == 1) {
        EXPECT_NEAR(gain, 0, 1e-12);
      }
      gains += gain > 1e-6 ? 1 : 0;
    }
  }
  EXPECT_GT(gains, 500);
}

TEST(RejectionRulesTest, DraftsCloseToTheTargetGiveTheTargetsLaw) {
  WorldMaker maker(2);
  for (int trial = 0; trial < 10; ++trial) {
    for (const auto& [vocabulary, draft_tokens] : kShapes) {
      const double distance = std::pow(10.0, -1 - 2 * trial);  // down to the size of rounding
      CheckWorld(maker.Make(vocabulary, draft_tokens, 0.2, [&](size_t, const Distribution& p) {
        Distribution q = maker.RandomLaw(p.size(), 0.2);
        for (size_t t = 0; t < q.size(); ++t) q[t] = distance * q[t] + (1 - distance) * p[t];
        return std::optional(q);
      }));
    }
  }
}

TEST(RejectionRulesTest, TheTargetsOwnLawIsAcceptedInFull) {
  WorldMaker maker(3);
  for (const auto& [vocabulary, draft_tokens] : kShapes) {
    const World world = maker.Make(vocabulary, draft_tokens, 0.3,
                                   [](size_t, const Distribution& p) { return std::optional(p); });
    CheckWorld(world);
    for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
      EXPECT_NEAR(Enumerate(world, rule).accepted_tokens, static_cast<double>(draft_tokens), 1e-12);
    }
  }
}

TEST(RejectionRulesTest, TokensThatWereNotDrawnGiveTheTargetsLaw) {
  WorldMaker maker(4);
  for (int trial = 0; trial < 100; ++trial) {
    for (const auto& [vocabulary, draft_tokens] : kShapes) {
      World world =
          maker.Make(vocabulary, draft_tokens, trial % 2 == 0 ? 0.0 : 0.4,
                     [](size_t, const Distribution&) { return std::optional<Distribution>(); });
      EXPECT_NEAR(CheckWorld(world), 0, 1e-12);
      const Outcome absent = Enumerate(world, VerifyByBlock);
      // The same laws written out.
      for (size_t length = 0; length < draft_tokens; ++length) {
        for (size_t i = 0; i < world.draft[length].size(); ++i) {
          world.draft[length][i] = Distribution(vocabulary);
          (*world.draft[length][i])[static_cast<size_t>(world.fixed_draft[length][i])] = 1;
        }
      }
      EXPECT_NEAR(CheckWorld(world), 0, 1e-12);
      EXPECT_NEAR(Enumerate(world, VerifyByBlock).accepted_tokens, absent.accepted_tokens, 1e-12);
    }
  }
}

TEST(RejectionRulesTest, MixedDraftsGiveTheTargetsLaw) {
  WorldMaker maker(5);
  for (int trial = 0; trial < 100; ++trial) {
    for (const auto& [vocabulary, draft_tokens] : kShapes) {
      CheckWorld(maker.Make(vocabulary, draft_tokens, 0.2, [&](size_t, const Distribution& p) {
        return maker.random()() % 2 == 0 ? std::optional(maker.RandomLaw(p.size(), 0.2))
                                         : std::optional<Distribution>();
      }));
    }
  }
}

TEST(RejectionRulesTest, DisjointSupportsRejectEverything) {
  WorldMaker maker(6);
  for (size_t draft_tokens = 1; draft_tokens <= 4; ++draft_tokens) {
    World world = maker.Make(3, draft_tokens, 0, [](size_t, const Distribution&) {
      return std::optional(Distribution{0, 0.25, 0.75});
    });
    for (std::vector<Distribution>& laws : world.target) {
      for (Distribution& law : laws) law = {1, 0, 0};
    }
    CheckWorld(world);
    for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
      EXPECT_EQ(Enumerate(world, rule).accepted_tokens, 0);
    }
  }
}

// The example of the block verification paper and of its authors' post of 2024-07-27.
TEST(RejectionRulesTest, BlocksAcceptMoreInThePapersExample) {
  World world;
  world.vocabulary = 2;
  world.draft_tokens = 2;
  for (size_t prefixes : {1, 2, 4}) {
    world.target.emplace_back(prefixes, Distribution{1.0 / 3, 2.0 / 3});
    world.draft.emplace_back(prefixes, Distribution{2.0 / 3, 1.0 / 3});
    world.fixed_draft.emplace_back(prefixes, 0);
  }
  EXPECT_NEAR(Enumerate(world, VerifyByTokenRejection).accepted_tokens, 10.0 / 9, 1e-12);
  EXPECT_NEAR(Enumerate(world, VerifyByBlock).accepted_tokens, 11.0 / 9, 1e-12);
  CheckWorld(world);
}

TEST(RejectionRulesTest, AnEmptyDraftIsAPlainDraw) {
  WorldMaker maker(7);
  const World world = maker.Make(
      3, 0, 0, [](size_t, const Distribution&) { return std::optional<Distribution>(); });
  CheckWorld(world);
  EXPECT_EQ(Enumerate(world, VerifyByBlock).accepted_tokens, 0);
}

TEST(RejectionRulesTest, AnEmptySpanOfDraftLawsMeansNoneWasDrawn) {
  const std::vector<TokenId> draft = {1};
  const std::vector<Distribution> target_laws = {{0.25, 0.5, 0.25}, {1, 0, 0}};
  for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
    EnumeratingChooser chooser;
    std::vector<double> next(3);
    double accepted = 0;
    do {
      const auto result = rule({draft, {}, target_laws}, chooser);
      ASSERT_TRUE(result.ok());
      (result->accepted_tokens == 1 ? accepted : next[static_cast<size_t>(result->next_token)]) +=
          chooser.probability();
    } while (chooser.Next());
    EXPECT_EQ(accepted, 0.5);
    EXPECT_EQ(next, (std::vector<double>{0.25, 0, 0.25}));
  }
}

TEST(RejectionRulesTest, TokensThatCannotBeAreRejected) {
  const std::vector<Distribution> target_laws = {{0.5, 0.5}, {1, 0}};
  const std::vector<std::optional<Distribution>> draft_laws = {Distribution{0, 0.5, 0.5}};
  // Token 0 has no mass in the draft's law, token 2 is outside the target's, 7 outside both.
  for (TokenId token : {0, 2, 7}) {
    const std::vector<TokenId> draft = {token};
    for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
      UniformChooser chooser([] { return 0.0; });
      const auto result = rule({draft, draft_laws, target_laws}, chooser);
      ASSERT_TRUE(result.ok());
      EXPECT_EQ(result->accepted_tokens, 0);
      EXPECT_EQ(result->next_token, 0);  // all that is left of p - q
    }
  }
}

TEST(RejectionRulesTest, ARejectionThatLeavesNoMassFallsBackToTheTarget) {
  // Sums of 1 within rounding, with p <= q everywhere.
  const std::vector<Distribution> target_laws = {{0.5 - 1e-12, 0.5}, {1, 0}};
  const std::vector<std::optional<Distribution>> draft_laws = {Distribution{0.5, 0.5}};
  const std::vector<TokenId> draft = {0};
  for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
    std::vector<double> uniforms = {0.75, 1 - 1e-16};  // popped from the back
    UniformChooser chooser([&] {
      const double next = uniforms.back();
      uniforms.pop_back();
      return next;
    });
    const auto result = rule({draft, draft_laws, target_laws}, chooser);
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->accepted_tokens, 0);
    EXPECT_EQ(result->next_token, 1);
  }
}

TEST(RejectionRulesTest, InputsThatDoNotFitAreErrors) {
  const std::vector<TokenId> draft = {0};
  const std::vector<TokenId> negative = {-1};
  const std::vector<Distribution> one_law = {{1.0}};
  const std::vector<Distribution> two_laws = {{1.0}, {1.0}};
  const std::vector<Distribution> no_mass = {{1.0}, {0.0}};
  const std::vector<Distribution> not_numbers = {{1.0}, {std::nan("")}};
  const std::vector<std::optional<Distribution>> two_draft_laws = {std::nullopt, std::nullopt};
  UniformChooser chooser([] { return 0.5; });
  for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
    const auto code = [&](const RejectionInput& input) {
      return rule(input, chooser).status().code();
    };
    EXPECT_EQ(code({draft, {}, one_law}), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({{}, {}, {}}), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({draft, two_draft_laws, two_laws}), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({negative, {}, two_laws}), StatusCode::kInvalidArgument);
    EXPECT_EQ(code({draft, {}, no_mass}), StatusCode::kInternal);
    EXPECT_EQ(code({draft, {}, not_numbers}), StatusCode::kInternal);
    EXPECT_EQ(code({draft, {}, two_laws}), StatusCode::kOk);
  }
}

TEST(UniformChooserTest, WalksTheWeightsInTheOrderOfIds) {
  double uniform = 0;
  UniformChooser chooser([&] { return uniform; });
  const Distribution law = {0, 0.25, 0, 0.5, 0.25, 0};
  const std::vector<std::pair<double, TokenId>> cases = {
      {0, 1}, {0.2499, 1}, {0.25, 3}, {0.7499, 3}, {0.75, 4}, {0x1.fffffffffffffp-1, 4}};
  for (const auto& [value, token] : cases) {
    uniform = value;
    EXPECT_EQ(chooser.Draw(DrawWeights(law)), token) << value;
  }
  // A law that rounding has left short of 1 still gives a token of positive weight.
  uniform = 0x1.fffffffffffffp-1;
  EXPECT_EQ(chooser.Draw(DrawWeights(Distribution{0.5, 0.49, 0})), 1);
  EXPECT_EQ(chooser.Draw(DrawWeights(Distribution{0, 0})), -1);
}

TEST(UniformChooserTest, CertainDecisionsTakeNoUniform) {
  int calls = 0;
  UniformChooser chooser([&] {
    ++calls;
    return 0.5;
  });
  EXPECT_TRUE(chooser.Accept(1));
  EXPECT_TRUE(chooser.Accept(1 + 1e-15));
  EXPECT_FALSE(chooser.Accept(0));
  EXPECT_EQ(calls, 0);
  EXPECT_FALSE(chooser.Accept(0.5));  // [0, 0.5) is half of [0, 1)
  EXPECT_TRUE(chooser.Accept(0.500001));
  EXPECT_EQ(calls, 2);
}

// The path that production takes: real uniforms, drafts drawn from q. Pearson's statistic has a
// mean of `cells` and a standard deviation of sqrt(2 cells).
TEST(UniformChooserTest, DrawnOutputsFollowTheTargetsLaw) {
  WorldMaker maker(8);
  constexpr int kSamples = 50000;
  for (int trial = 0; trial < 4; ++trial) {
    const World world = maker.Make(3, 3, 0, [&](size_t, const Distribution& p) {
      Distribution q = maker.RandomLaw(p.size(), 0);
      for (size_t t = 0; t < q.size(); ++t) q[t] = 0.5 * q[t] + 0.5 * p[t];
      return std::optional(q);
    });
    const std::vector<double> target_law = TargetLaw(world);
    UniformChooser chooser([&] { return maker.Uniform(); });
    for (Rule rule : {VerifyByTokenRejection, VerifyByBlock}) {
      std::vector<int> counts(target_law.size());
      double accepted = 0;
      for (int sample = 0; sample < kSamples; ++sample) {
        std::vector<TokenId> tokens;
        std::vector<std::optional<Distribution>> draft_laws;
        std::vector<Distribution> target_laws;
        size_t prefix = 0;
        for (size_t i = 0; i < 3; ++i) {
          draft_laws.push_back(world.draft[i][prefix]);
          target_laws.push_back(world.target[i][prefix]);
          tokens.push_back(chooser.Draw(DrawWeights(*draft_laws.back())));
          prefix = prefix * 3 + static_cast<size_t>(tokens.back());
        }
        target_laws.push_back(world.target[3][prefix]);
        const auto result = rule({tokens, draft_laws, target_laws}, chooser);
        ASSERT_TRUE(result.ok());
        accepted += result->accepted_tokens;
        tokens.resize(static_cast<size_t>(result->accepted_tokens));
        tokens.push_back(result->next_token);
        prefix = 0;
        for (size_t i = 0; i < 4; ++i) {
          if (i == tokens.size())
            tokens.push_back(chooser.Draw(DrawWeights(world.target[i][prefix])));
          prefix = prefix * 3 + static_cast<size_t>(tokens[i]);
        }
        ++counts[prefix];
      }
      double statistic = 0;
      for (size_t i = 0; i < counts.size(); ++i) {
        const double expected = target_law[i] * kSamples;
        statistic += (counts[i] - expected) * (counts[i] - expected) / expected;
      }
      const auto cells = static_cast<double>(counts.size());
      EXPECT_LT(statistic, cells + 5 * std::sqrt(2 * cells));
      EXPECT_NEAR(accepted / kSamples, Enumerate(world, rule).accepted_tokens, 0.02);
    }
  }
}

}  // namespace
}  // namespace foretoken
