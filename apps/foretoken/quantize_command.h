#ifndef FORETOKEN_FORETOKEN_QUANTIZE_COMMAND_H_
#define FORETOKEN_FORETOKEN_QUANTIZE_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// Adds `quantize INPUT OUTPUT --type TYPE`. Running it sets `exit_code`, which must outlive the
// parser.
void AddQuantizeCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_QUANTIZE_COMMAND_H_
