#include "interrupt_flag.h"

namespace foretoken {
namespace {

volatile std::sig_atomic_t interrupted = 0;

}  // namespace

InterruptFlag::InterruptFlag() {
  interrupted = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, &former_);
}

InterruptFlag::~InterruptFlag() {
  sigaction(SIGINT, &former_, nullptr);
}

bool InterruptFlag::IsSet() {
  return interrupted != 0;
}

}  // namespace foretoken
