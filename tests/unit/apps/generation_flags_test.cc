#include "generation_flags.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

namespace foretoken {
namespace {

// Parses `arguments` as a command with every shared flag would; the message of what is refused,
// empty when nothing is.
std::string Parse(std::vector<std::string> arguments, GenerationFlags& flags) {
  CLI::App app;
  AddModelFlags(app, flags);
  AddLengthFlags(app, flags);
  AddSamplingFlags(app, flags);
  AddSpeculationFlags(app, flags);
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}

GenerationFlags MustParse(const std::vector<std::string>& arguments) {
  GenerationFlags flags;
  EXPECT_EQ(Parse(arguments, flags), "");
  return flags;
}

TEST(GenerationFlagsTest, SaysNothingByDefault) {
  const GenerationFlags flags = MustParse({"-m", "m"});
  EXPECT_EQ(flags.model, "m");
  EXPECT_TRUE(flags.draft.empty());
  EXPECT_EQ(flags.max_tokens, 512);
  EXPECT_FALSE(flags.sampling.temperature.has_value());
  EXPECT_FALSE(flags.sampling.seed.has_value());
  EXPECT_EQ(flags.speculation.mode, SpeculationMode::kAuto);
  EXPECT_EQ(flags.speculation.rule, VerifyRule::kCoupled);
  EXPECT_TRUE(CheckGenerationFlags(flags).ok());
}

TEST(GenerationFlagsTest, ReadsEveryFlag) {
  const GenerationFlags flags = MustParse({"-m",
                                           "big",
                                           "-d",
                                           "small",
                                           "--context",
                                           "4096",
                                           "--kv-cache",
                                           "16384",
                                           "--threads",
                                           "3",
                                           "-n",
                                           "7",
                                           "--stop",
                                           "a",
                                           "--stop",
                                           "b c",
                                           "--ignore-end-of-text",
                                           "--temperature",
                                           "0.5",
                                           "--top-k",
                                           "40",
                                           "--top-p",
                                           "0.9",
                                           "--min-p",
                                           "0.1",
                                           "--repetition-penalty",
                                           "1.1",
                                           "--frequency-penalty",
                                           "-0.5",
                                           "--presence-penalty",
                                           "2",
                                           "--seed",
                                           "18446744073709551615",
                                           "--sources",
                                           "draft,prediction,suffix",
                                           "--rule",
                                           "max-acceptance",
                                           "--speculation",
                                           "6"});
  EXPECT_EQ(flags.draft, "small");
  EXPECT_EQ(flags.context_tokens, 4096);
  EXPECT_EQ(flags.kv_cache_tokens, 16384);
  EXPECT_EQ(flags.threads, 3);
  EXPECT_EQ(flags.max_tokens, 7);
  EXPECT_EQ(flags.stop, (std::vector<std::string>{"a", "b c"}));
  EXPECT_TRUE(flags.ignore_end_of_text);
  const SamplingOptions s = ApplySamplingFlags(flags.sampling, SamplingOptions());
  EXPECT_EQ(s.temperature, 0.5f);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.top_p, 0.9f);
  EXPECT_EQ(s.min_p, 0.1f);
  EXPECT_EQ(s.repetition_penalty, 1.1f);
  EXPECT_EQ(s.frequency_penalty, -0.5f);
  EXPECT_EQ(s.presence_penalty, 2.0f);
  EXPECT_EQ(s.seed, 18446744073709551615u);
  EXPECT_EQ(flags.speculation.sources,
            (std::vector{DraftSourceKind::kDraftModel, DraftSourceKind::kPrediction,
                         DraftSourceKind::kSuffix}));
  EXPECT_EQ(flags.speculation.rule, VerifyRule::kMaxAcceptance);
  EXPECT_EQ(flags.speculation.mode, SpeculationMode::kFixed);
  EXPECT_EQ(flags.speculation.draft_k, 6);
  EXPECT_TRUE(CheckGenerationFlags(flags).ok());
}

TEST(GenerationFlagsTest, WhatTheUserDoesNotSayIsTheModels) {
  const GenerationFlags flags = MustParse({"-m", "m", "--top-p", "0.5"});
  SamplingOptions hints;
  hints.temperature = 0.6f;
  hints.top_p = 0.95f;
  const SamplingOptions s = ApplySamplingFlags(flags.sampling, hints);
  EXPECT_EQ(s.temperature, 0.6f);
  EXPECT_EQ(s.top_p, 0.5f);
}

TEST(GenerationFlagsTest, SpeculationIsAutoOffOrALength) {
  EXPECT_EQ(MustParse({"-m", "m", "--speculation", "auto"}).speculation.mode,
            SpeculationMode::kAuto);
  EXPECT_EQ(MustParse({"-m", "m", "--speculation", "off"}).speculation.mode, SpeculationMode::kOff);
  const SpeculativeConfig none = MustParse({"-m", "m", "--speculation", "0"}).speculation;
  EXPECT_EQ(none.mode, SpeculationMode::kFixed);
  EXPECT_EQ(none.draft_k, 0);
  // A length above the automatic cap is meant as said.
  const SpeculativeConfig many = MustParse({"-m", "m", "--speculation", "100000"}).speculation;
  EXPECT_EQ(many.draft_k, 100000);
  EXPECT_EQ(many.max_draft_tokens, 100000);
  EXPECT_TRUE(MustParse({"-m", "m", "--sources", "none"}).speculation.sources.empty());
}

TEST(GenerationFlagsTest, ReadsAModeOverABase) {
  SpeculativeConfig base;
  base.rule = VerifyRule::kMaxAcceptance;
  const auto automatic = ReadSpeculation("auto", base);
  ASSERT_TRUE(automatic.has_value());
  EXPECT_EQ(automatic->mode, SpeculationMode::kAuto);
  EXPECT_EQ(automatic->rule, VerifyRule::kMaxAcceptance);
  EXPECT_EQ(ReadSpeculation("12", base)->max_draft_tokens, 12);
  for (const char* text : {"", "on", "-1", "4,", "2147483648"}) {
    EXPECT_FALSE(ReadSpeculation(text, base).has_value()) << text;
  }
}

TEST(GenerationFlagsTest, BadValuesAreRefusedWithWhatWouldBeRight) {
  struct Case {
    const char* flag;
    const char* value;
    const char* right;
  };
  const Case cases[] = {
      {"--temperature", "nan", "0 or more"},
      {"--temperature", "-nan", "0 or more"},
      {"--temperature", "inf", "finite"},
      {"--temperature", "-1", "0 or more"},
      {"--temperature", "1e999", "finite"},
      {"--temperature", "warm", "0 or more"},
      {"--temperature", "0.5x", "0 or more"},
      {"--temperature", "", "0 or more"},
      {"--top-k", "-1", "0 (off) or more"},
      {"--top-k", "2.5", "whole number"},
      {"--top-k", "99999999999", "whole number"},
      {"--top-p", "0", "above 0"},
      {"--top-p", "1.01", "at most 1"},
      {"--top-p", "nan", "above 0"},
      {"--min-p", "-0.1", "between 0 and 1"},
      {"--min-p", "nan", "between 0 and 1"},
      {"--repetition-penalty", "0", "above 0"},
      {"--repetition-penalty", "nan", "above 0"},
      {"--frequency-penalty", "2.5", "between -2 and 2"},
      {"--frequency-penalty", "nan", "between -2 and 2"},
      {"--presence-penalty", "-2.5", "between -2 and 2"},
      {"--seed", "-1", "whole number"},
      {"--seed", "18446744073709551616", "18446744073709551615"},
      {"--seed", "0x10", "whole number"},
      {"-n", "0", "1 or more"},
      {"-n", "-5", "1 or more"},
      {"-n", "2147483648", "1 or more"},
      {"-n", "1e3", "whole number"},
      {"--context", "-1", "0 or more"},
      {"--kv-cache", "-1", "0 or more"},
      {"--threads", "513", "0 to 512"},
      {"--threads", "two", "0 to 512"},
      {"--speculation", "on", "auto, off"},
      {"--speculation", "-1", "0 or more"},
      {"--speculation", "2147483648", "0 or more"},
      {"--sources", "suffix,other", "suffix, draft"},
      {"--sources", "", "suffix, draft"},
      {"--sources", "suffix,", "suffix, draft"},
      {"--sources", "suffix,suffix", "once"},
      {"--rule", "greedy", "coupled or max-acceptance"},
  };
  for (const Case& c : cases) {
    GenerationFlags flags;
    const std::string message = Parse({"-m", "m", c.flag, c.value}, flags);
    EXPECT_NE(message.find(c.right), std::string::npos)
        << c.flag << " " << c.value << ": " << message;
    EXPECT_NE(message.find(c.value), std::string::npos) << message;
  }
}

TEST(GenerationFlagsTest, UnknownFlagsAndMissingValuesAreRefused) {
  GenerationFlags flags;
  EXPECT_NE(Parse({"-m", "m", "--nonsense"}, flags), "");
  EXPECT_NE(Parse({"-m", "m", "--seed"}, flags), "");
  EXPECT_NE(Parse({"--seed", "1"}, flags), "") << "-m is required";
  EXPECT_NE(Parse({"-m", "m", "--seed", "1", "--seed", "2"}, flags), "") << "once";
}

TEST(GenerationFlagsTest, ContradictionsAreRefused) {
  GenerationFlags flags = MustParse({"-m", "m", "--sources", "suffix,draft"});
  EXPECT_NE(CheckGenerationFlags(flags).message().find("-d"), std::string::npos);
  flags.draft = "d";
  EXPECT_TRUE(CheckGenerationFlags(flags).ok());
  flags.context_tokens = 4096;
  flags.kv_cache_tokens = 4095;
  EXPECT_NE(CheckGenerationFlags(flags).message().find("--kv-cache"), std::string::npos);
  flags.kv_cache_tokens = 4096;
  EXPECT_TRUE(CheckGenerationFlags(flags).ok());
  flags.stop = {""};
  EXPECT_EQ(CheckGenerationFlags(flags).code(), StatusCode::kInvalidArgument);
  flags.stop.assign(17, "x");
  EXPECT_EQ(CheckGenerationFlags(flags).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace foretoken
