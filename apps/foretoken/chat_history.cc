#include "chat_history.h"

#include <utility>

namespace foretoken {

std::vector<ChatMessage> ChatHistory::Ask(const std::string& user) const {
  std::vector<ChatMessage> messages;
  if (!system_.empty()) messages.push_back({"system", system_});
  for (const Turn& turn : turns_) {
    messages.push_back({"user", turn.user});
    messages.push_back({"assistant", turn.assistant});
  }
  messages.push_back({"user", user});
  return messages;
}

void ChatHistory::Commit(std::string user, std::string assistant) {
  turns_.push_back({std::move(user), std::move(assistant)});
}

bool ChatHistory::DropOldest() {
  if (turns_.empty()) return false;
  turns_.erase(turns_.begin());
  return true;
}

size_t ChatHistory::DropOldestHalf() {
  size_t bytes = 0;
  for (const Turn& turn : turns_) bytes += turn.user.size() + turn.assistant.size();
  size_t dropped = 0;
  for (size_t freed = 0; !turns_.empty() && (dropped == 0 || freed * 2 < bytes); ++dropped) {
    freed += turns_.front().user.size() + turns_.front().assistant.size();
    DropOldest();
  }
  return dropped;
}

}  // namespace foretoken
