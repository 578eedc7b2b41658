#ifndef FORETOKEN_FORETOKEN_LINE_READER_H_
#define FORETOKEN_FORETOKEN_LINE_READER_H_

#include <memory>
#include <string>

#include "interrupt.h"

namespace foretoken {

// One line of what a user types, or why there is none.
struct InputLine {
  enum class Kind { kLine, kInterrupted, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;           // kLine: without its line end
  bool empty_before = false;  // kInterrupted: nothing had been typed
};

// Reads lines from standard input: with editing and history on a terminal, as they are otherwise.
// One thread. `watcher` must outlive it. Reading errors count as the end of the input.
class LineReader {
 public:
  virtual ~LineReader() = default;
  // Whether a person is there to be helped.
  virtual bool interactive() const = 0;
  virtual InputLine Read(const std::string& prompt) = 0;
  // Puts an entry into the history and its file.
  virtual void Remember(const std::string& entry) = 0;
};

// `history_file` is made with its directory when it is not there; empty: no history file.
std::unique_ptr<LineReader> NewLineReader(InterruptWatcher& watcher, std::string history_file);

// foretoken/chat_history in XDG_STATE_HOME or ~/.local/state; empty when neither has a place.
std::string DefaultHistoryFile();

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_LINE_READER_H_
