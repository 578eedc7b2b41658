#include "store_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "base/macros.h"
#include "console.h"
#include "exit_code.h"

namespace foretoken {
namespace {

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
    case StatusCode::kCancelled:  // the reader of our output has gone
      return kExitSuccess;
    case StatusCode::kInvalidArgument:
      return kExitUsage;
    default:
      return kExitFailure;
  }
}

// Characters of valid UTF-8: what is no continuation byte begins one.
size_t WidthOf(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

void AddStoreFlag(CLI::App& command, std::string& path) {
  command.add_option("--store", path,
                     "The store's file (${XDG_DATA_HOME:-~/.local/share}/foretoken/foretoken.db)");
}

Result<std::string> StorePath(const std::string& path) {
  if (!path.empty()) return path;
  return DefaultStorePath();
}

Result<std::unique_ptr<TenantStore>> OpenStore(const std::string& path, StoreFile mode) {
  FORETOKEN_ASSIGN_OR_RETURN(const std::string file, StorePath(path));
  auto store = TenantStore::Open(file, mode);
  if (store.status().code() == StatusCode::kNotFound) {
    return NotFoundError(
        fmt::format("there is no store at {}; `foretoken tenant add` makes one", file));
  }
  return store;
}

void RunOnCommand(CLI::App& command, int& exit_code, std::function<Status()> action) {
  command.callback([&exit_code, action = std::move(action)] {
    const Status status = action();
    exit_code = ExitCodeOf(status);
    if (exit_code != kExitSuccess) PrintError(status.message());
  });
}

std::string TextTable(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], WidthOf(row[i]));
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += row[i];
      if (i + 1 < row.size()) text.append(widths[i] - WidthOf(row[i]) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

}  // namespace foretoken
