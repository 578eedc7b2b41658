#ifndef FORETOKEN_FORETOKEN_INTERRUPT_FLAG_H_
#define FORETOKEN_FORETOKEN_INTERRUPT_FLAG_H_

#include <csignal>

namespace foretoken {

// Ctrl-C as something to ask for, so that a long command ends in an orderly way: children are ended
// too, and files are whole or gone. A second Ctrl-C ends the process at once. One at a time in a
// process; the former handling of SIGINT comes back when it goes.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  static bool IsSet();

 private:
  struct sigaction former_ {};
};

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_INTERRUPT_FLAG_H_
