#include "headers/umbrella_other.h"

#include "foretoken/foretoken.h"

namespace foretoken {

size_t OtherSourcesRequestBytes() {
  return sizeof(GenerateRequest);
}
Status OtherSourcesOkStatus() {
  return OkStatus();
}
int32_t OtherSourcesMaxTokens() {
  return GenerateOptions().max_tokens;
}

}  // namespace foretoken
