#ifndef FORETOKEN_UNIT_FETCH_FAKE_PIP_H_
#define FORETOKEN_UNIT_FETCH_FAKE_PIP_H_

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "unit/fetch/temporary_directory.h"
#include "unit/fetch/test_wheel.h"

namespace foretoken {

// A stand-in for `python3 -m pip download`: copies wheels that the test put on its shelf, writes
// down what it was asked for, and fails or hangs where the test says so.
class FakePip {
 public:
  FakePip() {
    std::filesystem::create_directory(directory_.Path("shelf"));
    directory_.Write("python", R"(#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/calls"
while [ $# -gt 1 ]; do
  if [ "$1" = --dest ]; then dest=$2; fi
  shift
done
if [ -e "$here/hang" ]; then echo partial > "$dest/partial"; exec sleep 60; fi
if [ -s "$here/failures" ]; then
  echo "Collecting $1"
  head -n 1 "$here/failures" >&2
  sed -i 1d "$here/failures"
  exit 1
fi
if [ ! -e "$here/shelf/$1" ]; then
  echo "ERROR: No matching distribution found for $1" >&2
  exit 1
fi
cp "$here/shelf/$1" "$dest/$1-py3-none-any.whl"
)");
    std::filesystem::permissions(python(), std::filesystem::perms::owner_all);
  }

  std::string python() const { return directory_.Path("python"); }
  // Puts a wheel on the shelf.
  void Offer(const std::string& requirement, const std::string& member,
             const std::string& content) const {
    WriteWheel(directory_.Path("shelf/" + requirement), member, content);
  }
  // The next runs fail, one with each of these messages.
  void Fail(const std::vector<std::string>& messages) const {
    std::string lines;
    for (const std::string& message : messages) lines += message + "\n";
    directory_.Write("failures", lines);
  }
  void Hang(bool hang) const {
    if (hang) directory_.Write("hang", "");
    if (!hang) std::filesystem::remove(directory_.Path("hang"));
  }
  // The command lines so far, without the interpreter.
  std::vector<std::string> calls() const {
    std::vector<std::string> lines;
    std::istringstream text(directory_.Read("calls"));
    for (std::string line; std::getline(text, line);) lines.push_back(line);
    return lines;
  }
  // The requirements of these command lines.
  std::vector<std::string> requirements() const {
    std::vector<std::string> last;
    for (const std::string& call : calls()) last.push_back(call.substr(call.rfind(' ') + 1));
    return last;
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace foretoken

#endif  // FORETOKEN_UNIT_FETCH_FAKE_PIP_H_
