#include "foretoken/generation.h"

namespace foretoken {

std::string_view TokenOriginName(TokenOrigin origin) {
  switch (origin) {
    case TokenOrigin::kPlain:
      return "plain";
    case TokenOrigin::kAccepted:
      return "accepted";
    case TokenOrigin::kCorrected:
      return "corrected";
    case TokenOrigin::kBonus:
      return "bonus";
  }
  return "unknown";
}

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "unknown";
}

std::string_view DraftSourceKindName(DraftSourceKind kind) {
  switch (kind) {
    case DraftSourceKind::kDraftModel:
      return "draft";
    case DraftSourceKind::kSuffix:
      return "suffix";
    case DraftSourceKind::kPrediction:
      return "prediction";
  }
  return "unknown";
}

GenerationResult Collect(GenerationStream& stream) {
  GenerationResult result;
  while (std::optional<StreamEvent> event = stream.Next()) {
    if (auto* tokens = std::get_if<TokensEvent>(&*event)) {
      result.text += tokens->text;
      for (GeneratedToken& token : tokens->tokens) result.tokens.push_back(std::move(token));
    } else {
      result.finish = std::get<FinishedEvent>(std::move(*event));
    }
  }
  return result;
}

}  // namespace foretoken
