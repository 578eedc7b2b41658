#ifndef FORETOKEN_FORETOKEN_EXIT_CODE_H_
#define FORETOKEN_FORETOKEN_EXIT_CODE_H_

namespace foretoken {

// What the executable returns; `foretoken --help` lists them.
inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;        // the right command could not be done
inline constexpr int kExitUsage = 2;          // the command or its input is wrong and stays wrong
inline constexpr int kExitInterrupted = 130;  // Ctrl-C, as shells report it

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_EXIT_CODE_H_
