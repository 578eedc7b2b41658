"""`foretoken quantize` with the test model: what it writes, and that it never writes half of it."""
import json
import os
import pty
import resource
import signal
import subprocess
import time

import pytest

from executable import FORETOKEN, MODEL, MODEL_FILE, explain, needs_model, run

pytestmark = needs_model


def quantize(output, *arguments, source=MODEL, **options):
    return run("quantize", source, str(output), *arguments, **options)


def facts(path):
    result = run("inspect", str(path), "--json")
    assert result.returncode == 0, explain(result)
    return json.loads(result.stdout)["models"][0]


def left_in(directory):
    return sorted(path.name for path in directory.iterdir())


def test_the_result_is_a_model_of_the_type(tmp_path):
    output = tmp_path / "small.gguf"
    result = quantize(output, "--type", "Q4_0", "--pure")
    assert result.returncode == 0, explain(result)
    made = facts(output)
    message = result.stdout.decode()
    assert message.startswith(f"{output}: q4_0 throughout, "), message
    assert made["sha256"] in message
    assert b"is stored in Q4_1 already" in result.stderr
    assert made["quantisation"] == "Q4_0"
    assert {entry["type"] for entry in made["types"]} == {"Q4_0", "F32"}
    original = facts(MODEL_FILE)
    for fact in ("architecture", "parameters", "tokenizer", "chat_template", "special_tokens"):
        assert made[fact] == original[fact], fact
    assert made["bytes"] < original["bytes"]
    assert left_in(tmp_path) == ["small.gguf"]
    answer = run("run", "-m", str(output), "-p", "Say hello.", "-n", "8", "--temperature", "0",
                 "--json")
    assert answer.returncode == 0, explain(answer)
    assert json.loads(answer.stdout)["usage"]["completion_tokens"] > 0


def test_a_mixture_gives_some_more_and_a_copy_changes_nothing(tmp_path):
    mixed = tmp_path / "mixed.gguf"
    assert quantize(mixed, "--type", "q4_k").returncode == 0
    made = facts(mixed)
    assert made["quantisation"] == "Q4_K_M"
    assert len(made["types"]) > 2
    copy = tmp_path / "copy.gguf"
    assert quantize(copy, "--type", "copy").returncode == 0
    assert facts(copy)["types"] == facts(MODEL_FILE)["types"]


def test_a_file_is_replaced_only_when_asked(tmp_path):
    output = tmp_path / "small.gguf"
    output.write_text("mine")
    result = quantize(output, "--type", "q4_0")
    assert result.returncode == 1, explain(result)
    assert b"exists already; --force replaces it" in result.stderr
    assert output.read_text() == "mine"
    result = quantize(output, "--type", "q4_0", "--force")
    assert result.returncode == 0, explain(result)
    assert facts(output)["quantisation"] == "Q4_0"
    result = quantize(output, "--type", "q8_0", "--force", source=str(output))
    assert result.returncode == 2, explain(result)
    assert b"is the input itself" in result.stderr


def test_what_llama_cpp_refuses_leaves_nothing(tmp_path):
    result = quantize(tmp_path / "small.gguf", "--type", "iq2_xs", "--pure")
    assert result.returncode == 1, explain(result)
    assert b"requires an imatrix" in result.stderr
    matrix = tmp_path / "matrix.dat"
    matrix.write_bytes(b"\x01\0\0\0\xff\xff\xff\x7f")
    result = quantize(tmp_path / "small.gguf", "--type", "q4_0", "--imatrix", str(matrix))
    assert result.returncode == 1, explain(result)
    assert b"matrix.dat is no importance matrix" in result.stderr
    assert left_in(tmp_path) == ["matrix.dat"]


def test_a_file_that_may_not_grow_is_an_error(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, 20_000_000))

    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = quantize(tmp_path / "small.gguf", "--type", "q4_0", preexec_fn=limit, env=environment)
    assert result.returncode == 1, explain(result)
    assert b"larger than this process may write" in result.stderr
    assert left_in(tmp_path) == ["cache"]


@pytest.mark.parametrize("on_terminal", [False, True])
def test_an_interrupt_leaves_nothing(tmp_path, on_terminal):
    output = tmp_path / "small.gguf"
    error = subprocess.PIPE
    if on_terminal:
        keyboard, error = pty.openpty()
    with subprocess.Popen([FORETOKEN, "quantize", MODEL, str(output), "--type", "iq4_xs",
                           "--threads", "1"], stdout=subprocess.PIPE, stderr=error) as process:
        deadline = time.monotonic() + 60
        while not output.with_name("small.gguf.part").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        if on_terminal:
            os.close(error)
            os.close(keyboard)
    assert left_in(tmp_path) == []
