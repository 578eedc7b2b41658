"""What the tests of the executable share: running it, the test model, and a terminal for it."""
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest

FORETOKEN = os.environ.get("FORETOKEN", "foretoken")
MODEL = "smollm2-135m"


def models_directory():
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return pathlib.Path(os.environ.get("FORETOKEN_MODELS_DIR") or f"{data}/foretoken/models")


MODEL_FILE = models_directory() / f"{MODEL}.gguf"
needs_model = pytest.mark.skipif(not MODEL_FILE.exists(),
                                 reason=f"needs the model: foretoken pull {MODEL}")


def run(*arguments, stdin=b"", timeout=120, **options):
    """Runs the executable to its end; standard output and error are bytes."""
    return subprocess.run([FORETOKEN, *arguments], input=stdin, capture_output=True,
                          timeout=timeout, check=False, **options)


def explain(result):
    return f"exit {result.returncode}\nstdout: {result.stdout!r}\nstderr: {result.stderr!r}"


class Terminal:
    """The executable on a terminal of its own."""

    def __init__(self, *arguments, environment=None):
        self.seen = ""
        self.at = 0  # everything before was expected already
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", **(environment or {})})
            os.execv(FORETOKEN, [FORETOKEN, *arguments])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.file)

    def send(self, text):
        time.sleep(0.3)  # a person types when the prompt is there, not in the moment it appears
        os.write(self.file, text.encode())

    def _read(self, seconds):
        ready, _, _ = select.select([self.file], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.file, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=60):
        """Waits for the pattern after what was expected last; returns the match."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.compile(pattern).search(self.seen, self.at)
            if match:
                self.at = match.end()
                return match
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.seen[self.at:]!r}"
            self._read(min(left, 0.2))

    def wait(self, timeout=30):
        """The exit code, when the program has ended."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self._read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"still running; {self.seen[self.at:]!r}")
