#include "line_reader.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>
#include <system_error>
#include <utility>

namespace foretoken {
namespace {

constexpr int kHistoryEntries = 1000;

// Reads standard input as it is, for pipes and files.
class PlainReader : public LineReader {
 public:
  bool interactive() const override { return false; }
  InputLine Read(const std::string& /*prompt*/) override {
    std::string text;
    int byte = 0;
    while ((byte = std::getc(stdin)) != EOF && byte != '\n') text += static_cast<char>(byte);
    if (byte == EOF && text.empty()) return {};
    if (text.ends_with('\r')) text.pop_back();
    return {.kind = InputLine::Kind::kLine, .text = std::move(text)};
  }
  void Remember(const std::string& /*entry*/) override {}
};

// A descriptor that a Ctrl-C makes readable, for a poll beside standard input.
class WakePipe {
 public:
  WakePipe() {
    if (pipe2(ends_.data(), O_CLOEXEC | O_NONBLOCK) != 0) ends_ = {-1, -1};
  }
  ~WakePipe() {
    for (const int end : ends_) {
      if (end >= 0) close(end);
    }
  }
  WakePipe(const WakePipe&) = delete;
  WakePipe& operator=(const WakePipe&) = delete;

  void Wake() {
    const char byte = 0;
    static_cast<void>(!write(ends_[1], &byte, 1));
  }
  void Drain() {
    std::array<char, 64> bytes;
    while (read(ends_[0], bytes.data(), bytes.size()) > 0) {
    }
  }
  int readable_end() const { return ends_[0]; }

 private:
  std::array<int, 2> ends_{-1, -1};
};

// Waits for a byte of standard input. False at its end and when `wake` comes first.
bool ReadByte(const WakePipe& wake, char& byte) {
  while (true) {
    std::array<pollfd, 2> files = {{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                    {.fd = wake.readable_end(), .events = POLLIN, .revents = 0}}};
    if (poll(files.data(), files.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if ((files[1].revents & POLLIN) != 0) return false;
    if (files[0].revents == 0) continue;
    const ssize_t bytes = read(STDIN_FILENO, &byte, 1);
    if (bytes < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return bytes == 1;
  }
}

// Line editing by libedit.
class EditReader : public LineReader {
 public:
  EditReader(InterruptWatcher& watcher, std::string history_file)
      : watcher_(watcher),
        history_file_(std::move(history_file)),
        editor_(el_init("foretoken", stdin, stdout, stderr)),
        history_(history_init()) {
    el_set(editor_.get(), EL_CLIENTDATA, this);
    el_set(editor_.get(), EL_PROMPT, &EditReader::PromptText);
    el_set(editor_.get(), EL_EDITOR, "emacs");
    // Signals set the terminal right before they do what they do elsewhere.
    el_set(editor_.get(), EL_SIGNAL, 1);
    el_wset(editor_.get(), EL_GETCFN, &EditReader::ReadCharacter);
    el_set(editor_.get(), EL_BIND, "^[[3~", "ed-delete-next-char", nullptr);
    el_set(editor_.get(), EL_BIND, "^[[H", "ed-move-to-beg", nullptr);
    el_set(editor_.get(), EL_BIND, "^[[F", "ed-move-to-end", nullptr);
    el_set(editor_.get(), EL_BIND, "^R", "em-inc-search-prev", nullptr);
    // The user's own bindings win.
    el_source(editor_.get(), nullptr);
    HistEvent event;
    history(history_.get(), &event, H_SETSIZE, kHistoryEntries);
    history(history_.get(), &event, H_SETUNIQUE, 1);
    el_set(editor_.get(), EL_HIST, history, history_.get());
    if (!history_file_.empty()) history(history_.get(), &event, H_LOAD, history_file_.c_str());
  }

  bool interactive() const override { return true; }

  InputLine Read(const std::string& prompt) override {
    prompt_ = prompt;
    interrupted_ = false;
    typed_ = 0;
    wake_.Drain();
    el_resize(editor_.get());
    int length = 0;
    const char* line = nullptr;
    {
      const InterruptScope scope(
          watcher_, [this] { wake_.Wake(); }, /*repeats=*/true);
      line = el_gets(editor_.get(), &length);
    }
    if (interrupted_) {
      std::fputs("\n", stdout);
      std::fflush(stdout);
      return {.kind = InputLine::Kind::kInterrupted, .text = "", .empty_before = typed_ == 0};
    }
    if (line == nullptr || length <= 0) return {};
    std::string text(line, static_cast<size_t>(length));
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    return {.kind = InputLine::Kind::kLine, .text = std::move(text)};
  }

  void Remember(const std::string& entry) override {
    HistEvent event;
    history(history_.get(), &event, H_ENTER, entry.c_str());
    if (history_file_.empty()) return;
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(history_file_).parent_path(), error);
    // A history that cannot be written is not worth a message in a conversation.
    history(history_.get(), &event, H_SAVE, history_file_.c_str());
  }

 private:
  struct EndEditor {
    void operator()(EditLine* editor) const { el_end(editor); }
  };
  struct EndHistory {
    void operator()(History* history) const { history_end(history); }
  };

  static EditReader* Self(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<EditReader*>(self);
  }

  static char* PromptText(EditLine* editor) { return Self(editor)->prompt_.data(); }

  // libedit's own reader retries an interrupted read; this one ends the line instead.
  static int ReadCharacter(EditLine* editor, wchar_t* character) {
    EditReader* self = Self(editor);
    std::mbstate_t state{};
    while (true) {
      char byte = 0;
      if (!ReadByte(self->wake_, byte)) {
        self->NoteInterrupt(editor);
        return self->interrupted_ ? -1 : 0;
      }
      const size_t bytes = std::mbrtowc(character, &byte, 1, &state);
      if (bytes == static_cast<size_t>(-2)) continue;  // more bytes to come
      if (bytes == static_cast<size_t>(-1)) {
        state = {};
        continue;  // not a character of this locale
      }
      return 1;
    }
  }

  void NoteInterrupt(EditLine* editor) {
    pollfd file = {.fd = wake_.readable_end(), .events = POLLIN, .revents = 0};
    interrupted_ = poll(&file, 1, 0) > 0;
    const LineInfo* line = el_line(editor);
    typed_ = line->lastchar - line->buffer;
  }

  InterruptWatcher& watcher_;
  const std::string history_file_;
  std::string prompt_;
  WakePipe wake_;
  bool interrupted_ = false;
  std::ptrdiff_t typed_ = 0;
  std::unique_ptr<EditLine, EndEditor> editor_;
  std::unique_ptr<History, EndHistory> history_;
};

}  // namespace

std::unique_ptr<LineReader> NewLineReader(InterruptWatcher& watcher, std::string history_file) {
  if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0) {
    return std::make_unique<PlainReader>();
  }
  // Characters only: numbers keep their points.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
  return std::make_unique<EditReader>(watcher, std::move(history_file));
}

std::string DefaultHistoryFile() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::filesystem::path directory = variable("XDG_STATE_HOME");
  if (directory.empty()) {
    const std::string home = variable("HOME");
    if (home.empty()) return "";
    directory = std::filesystem::path(home) / ".local/state";
  }
  return directory / "foretoken/chat_history";
}

}  // namespace foretoken
