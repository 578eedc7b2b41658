#include "model/vocabulary.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "testing/fake_model.h"

namespace foretoken {
namespace {

// A vocabulary whose every answer a test can change.
class EditableVocabulary : public Vocabulary {
 public:
  explicit EditableVocabulary(int32_t size) : size_(size) {}
  int32_t size() const override { return size_; }
  Result<std::vector<TokenId>> Tokenize(std::string_view, bool, bool) const override {
    return std::vector<TokenId>();
  }
  std::string Piece(TokenId) const override { return ""; }
  std::string TokenText(TokenId token) const override {
    return token == changed ? "changed" : "t" + std::to_string(token);
  }
  bool IsEndOfGeneration(TokenId token) const override { return ends.contains(token); }
  std::optional<TokenId> begin_of_text() const override { return begin; }
  const ControlTexts& control_texts() const override { return control; }

  TokenId changed = -1;
  std::set<TokenId> ends = {0};
  std::optional<TokenId> begin = 1;
  ControlTexts control;

 private:
  int32_t size_;
};

TEST(CheckVocabularyMatchTest, PaddingMayDiffer) {
  EXPECT_TRUE(CheckVocabularyMatch(EditableVocabulary(500), EditableVocabulary(756)).ok());
  EXPECT_TRUE(CheckVocabularyMatch(EditableVocabulary(756), EditableVocabulary(500)).ok());
  const Status status = CheckVocabularyMatch(EditableVocabulary(500), EditableVocabulary(757));
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
  EXPECT_NE(status.message().find("757"), std::string::npos);
}

TEST(CheckVocabularyMatchTest, TheFirstDifferenceIsNamed) {
  const EditableVocabulary target(20);
  EditableVocabulary draft(20);
  draft.changed = 7;
  EXPECT_NE(CheckVocabularyMatch(target, draft).message().find("token 7 is 'changed'"),
            std::string::npos);
  draft.changed = -1;
  draft.ends = {0, 9};
  EXPECT_NE(CheckVocabularyMatch(target, draft).message().find("token 9"), std::string::npos);
  draft.ends = {0};
  draft.begin.reset();
  EXPECT_NE(CheckVocabularyMatch(target, draft).message().find("begin-of-text"), std::string::npos);
  draft.begin = 1;
  EXPECT_TRUE(CheckVocabularyMatch(target, draft).ok());
}

}  // namespace
}  // namespace foretoken
