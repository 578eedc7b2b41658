#ifndef FORETOKEN_FORETOKEN_CHAT_COMMAND_H_
#define FORETOKEN_FORETOKEN_CHAT_COMMAND_H_

namespace CLI {
class App;
}

namespace foretoken {

// `foretoken chat`: a conversation on the terminal, or one message a line from a pipe. As
// AddRunCommand.
void AddChatCommand(CLI::App& app, int& exit_code);

}  // namespace foretoken

#endif  // FORETOKEN_FORETOKEN_CHAT_COMMAND_H_
