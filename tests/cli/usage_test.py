"""The command line without a model: help, wrong use, wrong input."""
import struct

import pytest

from executable import explain, run


def refused(result, *words):
    """Wrong use: exit 2, one message on standard error, nothing on standard output."""
    message = result.stderr.decode()
    assert result.returncode == 2, explain(result)
    assert result.stdout == b"", explain(result)
    assert message.startswith("foretoken: "), message
    for word in words:
        assert word in message, message


def failed(result, *words):
    message = result.stderr.decode()
    assert result.returncode == 1, explain(result)
    assert result.stdout == b"", explain(result)
    assert message.startswith("foretoken: "), message
    for word in words:
        assert word in message, message


def test_version_and_help_are_answers():
    version = run("--version")
    assert version.returncode == 0
    assert version.stdout.startswith(b"foretoken 0."), explain(version)
    overview = run("--help")
    assert overview.returncode == 0
    for word in (b"run", b"chat", b"bench", b"pull", b"models", b"inspect", b"quantize",
                 b"tenant", b"key", b"usage", b"130 interrupted"):
        assert word in overview.stdout, explain(overview)
    for command in (("run",), ("chat",), ("bench", "decode")):
        page = run(*command, "--help")
        assert page.returncode == 0
        for word in (b"--speculation", b"--sources", b"--rule", b"--seed", b"--threads"):
            assert word in page.stdout, explain(page)


def test_help_of_bench_load():
    page = run("bench", "load", "--help")
    assert page.returncode == 0
    for word in (b"--concurrency", b"--rate", b"--modes", b"--kv-cache", b"--flood", b"--weights",
                 b"--sources", b"--seed"):
        assert word in page.stdout, explain(page)
    assert b"--speculation" not in page.stdout


def test_a_command_is_needed():
    refused(run(), "--help")
    refused(run("frobnicate"), "frobnicate")
    refused(run("bench"))
    refused(run("run"), "--model", "foretoken run --help")


@pytest.mark.parametrize("flag, value, right", [
    ("--temperature", "nan", "finite"),
    ("--temperature", "-1", "0 or more"),
    ("--top-k", "-1", "0 (off) or more"),
    ("--top-p", "1.5", "at most 1"),
    ("--min-p", "nan", "between 0 and 1"),
    ("--repetition-penalty", "0", "above 0"),
    ("--seed", "-1", "whole number"),
    ("--seed", "99999999999999999999", "whole number"),
    ("-n", "0", "1 or more"),
    ("-n", "3000000000", "1 or more"),
    ("--context", "-5", "0 or more"),
    ("--kv-cache", "-5", "0 or more"),
    ("--threads", "many", "0 to 512"),
    ("--logprobs", "21", "0 to 20"),
    ("--limit", "0", "1 or more"),
    ("--speculation", "maybe", "auto, off"),
    ("--sources", "oracle", "suffix, draft"),
    ("--rule", "best", "coupled or max-acceptance"),
])
def test_bad_values_say_what_would_be_right(flag, value, right):
    refused(run("run", "-m", "none", "-p", "x", flag, value), flag.lstrip("-"), value, right)


@pytest.mark.parametrize("arguments", [
    ("-p", "x", "-f", "y"),
    ("-p", "x", "--prompts", "y"),
    ("-p", "x", "--raw", "--system", "y"),
    ("-p", "x", "--json", "--show"),
    ("-p", "x", "--logprobs", "1"),
    ("-p", "x", "--limit", "1"),
    ("-p", "x", "--sources", "draft"),
    ("-p", "x", "--stop", ""),
    ("-p", "x", "unexpected"),
])
def test_contradictions_are_refused(arguments):
    refused(run("run", "-m", "none", *arguments))


@pytest.mark.parametrize("arguments, words", [
    (("--modes", "off,never"), ("modes", "auto, off")),
    (("--concurrency", "0"), ("concurrency", "1 to 256")),
    (("--rate", "1", "--concurrency", "2"), ("rate", "concurrency")),
    (("--tenants", "2", "--weights", "1,2,3"), ("weights",)),
    (("--context", "512", "--kv-cache", "256"), ("--kv-cache",)),
])
def test_bench_load_refuses_what_it_cannot_measure(arguments, words):
    refused(run("bench", "load", "-m", "none", "--prompts", "none", *arguments), *words)


def test_quantize_names_the_types(tmp_path):
    output = str(tmp_path / "out.gguf")
    page = run("quantize", "--help")
    assert page.returncode == 0
    refusal = run("quantize", "none", output, "--type", "q9_9")
    refused(refusal, "there is no type 'q9_9'")
    for name in (b"q4_0", b"q4_k_m", b"q8_0", b"iq4_nl", b"iq1_s", b"mxfp4_moe", b"bf16", b"copy"):
        assert name in page.stdout, explain(page)
        assert name in refusal.stderr, explain(refusal)
    refused(run("quantize", "none", output), "--type")
    refused(run("quantize", "none", output, "--type", "q4_0", "--threads", "x"), "--threads")
    failed(run("quantize", "no-such-model", output, "--type", "q4_0"), "no-such-model")
    assert list(tmp_path.iterdir()) == []


def test_missing_files_are_named(tmp_path):
    failed(run("run", "-m", "no-such-model", "-p", "x"), "no-such-model")
    failed(run("run", "-m", str(tmp_path / "no.gguf"), "-p", "x"), "no.gguf")
    failed(run("run", "-m", "none", "-f", str(tmp_path / "no.txt")), "no.txt")
    failed(run("run", "-m", "none", "--prompts", str(tmp_path / "no.jsonl")), "no.jsonl")
    failed(run("chat", "-m", "no-such-model"), "no-such-model")
    for bench in ("decode", "load"):
        failed(run("bench", bench, "-m", "none", "--prompts", str(tmp_path / "no.jsonl")),
               "no.jsonl")


def test_text_must_be_utf8(tmp_path):
    refused(run("run", "-m", "none", stdin=b"caf\xc3\xa9 \xff!"), "standard input", "0xff",
            "offset 6")
    refused(run("run", "-m", "none", stdin=b"cut off \xe2\x82"), "offset 8")
    refused(run("run", "-m", "none", "-p", b"\xc0\xaf"), "offset 0")
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"ok \x80")
    refused(run("run", "-m", "none", "-f", str(path)), "prompt.txt", "offset 3")


def test_a_prompts_file_is_checked_before_anything_runs(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "fine"}\n{"prompt": 5}\n')
    refused(run("run", "-m", "none", "--prompts", str(path)), "prompts.jsonl:2: ")
    for bench in ("decode", "load"):
        refused(run("bench", bench, "-m", "none", "--prompts", str(path)), "prompts.jsonl:2: ")
    path.write_text("\n")
    refused(run("run", "-m", "none", "--prompts", str(path)), "no prompt")


@pytest.mark.parametrize("content", [
    b"",
    b"GGUF",
    b"not a model at all" * 100,
    b"GGUF" + struct.pack("<I", 99) + bytes(100),
    b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(1000),
])
def test_what_is_no_model_is_an_error_not_a_crash(tmp_path, content):
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    failed(run("run", "-m", str(path), "-p", "x"), "bad.gguf")
    output = tmp_path / "out.gguf"
    failed(run("quantize", str(path), str(output), "--type", "q4_0"), "bad.gguf")
    assert not output.exists()
