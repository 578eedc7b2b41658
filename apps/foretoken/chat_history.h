#ifndef FORETOKEN_FORETOKEN_CHAT_HISTORY_H_
#define FORETOKEN_FORETOKEN_CHAT_HISTORY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "foretoken/generation.h"

namespace foretoken {

// A conversation: a system message and turns of user and assistant. A value; one thread.
class ChatHistory {
 public:
  void SetSystem(std::string text) { system_ = std::move(text); }
  const std::string& system() const { return system_; }
  // Forgets the turns, not the system message.
  void Reset() { turns_.clear(); }

  // The messages that ask for an answer to `user`.
  std::vector<ChatMessage> Ask(const std::string& user) const;
  void Commit(std::string user, std::string assistant);

  // Forgets the oldest turn; false when there is none.
  bool DropOldest();
  // Forgets the oldest half of what was said, at least a turn, to make room. Returns the number of
  // turns forgotten.
  size_t DropOldestHalf();
  size_t turns() const { return turns_.size(); }

 private:
  struct Turn {
    std::string user;
    std::string assistant;
  };
  std::string system_;
  std::vector<Turn> turns_;
};

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_CHAT_HISTORY_H_
