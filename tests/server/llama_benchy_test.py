"""The benchmark client llama-benchy, unchanged."""
import functools
import http.server
import json
import os
import pathlib
import subprocess
import sys
import threading

import pytest
import tokenizers

from executable import MODEL

TEXT = "It is a truth that a program which nobody has run does not work. " * 400


@pytest.fixture(name="book")
def fixture_book(tmp_path):
    """The address of a text to make prompts of; by itself it would fetch a novel."""
    (tmp_path / "book.txt").write_text(TEXT)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/book.txt"
        server.shutdown()
        thread.join()


def make_tokenizer(path):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], tokenizers.trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.save(str(path))


def test_llama_benchy(server, book, tmp_path):
    make_tokenizer(tmp_path / "tokenizer.json")
    ran = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("llama-benchy")), "--base-url",
         f"{server.url}/v1", "--api-key", server.acme, "--model", MODEL, "--tokenizer",
         str(tmp_path / "tokenizer.json"), "--book-url", book, "--pp", "64", "--tg", "8", "--runs",
         "1", "--concurrency", "1", "2", "--exact-tg", "--skip-coherence", "--exit-on-first-fail",
         "--save-result", "result.json", "--format", "json"],
        cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, timeout=120, check=False,
        capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert [run["concurrency"] for run in result["benchmarks"]] == [1, 2]
    for run in result["benchmarks"]:
        assert run["response_size"] == 8
        assert run["tg_throughput"]["mean"] > 0 and run["pp_throughput"]["mean"] > 0
