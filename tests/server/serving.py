"""What the tests of the server share: its process, its store, and clients of it."""
import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

import openai

from executable import FORETOKEN, MODEL, explain, run

# The model drafts for itself, so that speculation has something to verify. One thread computes: on
# a machine that does other things too, several would wait for each other.
MODELS = f"""
models:
  - target: {MODEL}
    draft: {MODEL}
    context: 2048
    kv_cache: 16384
    threads: 1
    preload: true
"""


def wait_for(condition, what, seconds=60):
    """The first true value of the condition. The limit is for a server that hangs."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {seconds} s")


class Store:
    """Tenants, keys and usage, as the command line has them."""

    def __init__(self, path):
        self.path = path

    def run(self, *arguments):
        result = run(*arguments, "--store", str(self.path))
        assert result.returncode == 0, explain(result)
        return result.stdout.decode()

    def add(self, tenant, *flags):
        """A new tenant with a key; returns the key."""
        self.run("tenant", "add", tenant, *flags)
        return self.add_key(tenant)

    def add_key(self, tenant):
        return self.run("key", "add", tenant).strip()

    def usage(self, *arguments):
        return json.loads(self.run("usage", "--json", *arguments))

    def rows(self):
        """The ledger itself, row by row in the order of their ends."""
        database = sqlite3.connect(self.path)
        try:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in
                    database.execute("SELECT * FROM usage ORDER BY finished_ms, id")]
        finally:
            database.close()

    def row(self, answer_id):
        """The row of an answer: answers are named KIND-ID or KIND_ID."""
        request_id = re.split("[-_]", answer_id, maxsplit=1)[1]
        rows = [row for row in self.rows() if row["id"] == request_id]
        assert len(rows) == 1, f"{len(rows)} rows for {answer_id}"
        return rows[0]


class Server:
    """`foretoken serve` on a free port, with a store of its own. Ends with the `with` block."""

    def __init__(self, folder, settings=""):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.store = Store(folder / "store.db")
        self.config = folder / "foretoken.yaml"
        self.config.write_text(f"listen: 127.0.0.1:0\nstore: {self.store.path}\n"
                               f"access_log: {folder}/access.log\n{MODELS}{settings}")
        self.log = folder / "server.log"
        self.process = None
        self.port = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([FORETOKEN, "serve", "--config", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def serving():
            assert self.process.poll() is None, self.log.read_text()
            return re.search(r"serving on http://127\.0\.0\.1:(\d+)", self.log.read_text())
        self.port = int(wait_for(serving, "the server starts").group(1))

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its exit code."""
        return self.process.wait(timeout=60)

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            return 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))

    def get(self, path, key=None, method="GET"):
        """Status, headers and body, without a client library."""
        request = urllib.request.Request(self.url + path, method=method)
        if key is not None:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def client(self, key, **options):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key,
                             **{"max_retries": 0, "timeout": 120, **options})

    def async_client(self, key, **options):
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key,
                                  **{"max_retries": 0, "timeout": 120, **options})


def user(text):
    return [{"role": "user", "content": text}]


def answer(client, text="Name three colours.", **options):
    """A chat completion of few tokens, always the same unless the options say otherwise."""
    return client.chat.completions.create(
        model=MODEL, messages=user(text), **{"max_tokens": 16, "temperature": 0, **options})


def unheard_of():
    """Text that nothing can have cached."""
    return f"{secrets.token_hex(8)}: " + "the quick brown fox jumps over the lazy dog. " * 8
