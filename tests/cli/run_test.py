"""`foretoken run` on the small model."""
import json
import re
import signal
import subprocess

import pytest

from executable import FORETOKEN, MODEL, MODEL_FILE, explain, needs_model, run

pytestmark = needs_model

GREEDY = ("--temperature", "0", "--seed", "1")
PROMPT = "Write three sentences about the sea."


def answer(*arguments, **options):
    result = run("run", "-m", MODEL, "--json", *arguments, **options)
    assert result.returncode == 0, explain(result)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def greedy():
    return answer("-p", PROMPT, "-n", "24", *GREEDY)


def test_json_has_the_documented_fields(greedy):
    assert list(greedy) == ["text", "token_ids", "finish_reason", "usage", "timings",
                            "speculation", "seed", "warnings"]
    assert greedy["usage"]["completion_tokens"] == len(greedy["token_ids"]) == 24
    assert greedy["usage"]["prompt_tokens"] > 7
    assert greedy["finish_reason"] == "length"
    assert greedy["seed"] == 1
    assert greedy["warnings"] == []
    assert greedy["text"].strip()
    for name in ("prompt_ms", "decode_ms", "decode_tokens_per_second", "first_token_ms"):
        assert greedy["timings"][name] > 0, name
    speculation = greedy["speculation"]
    assert speculation["drafted"] == speculation["accepted"] + speculation["rejected"]
    assert speculation["tau"] == pytest.approx(24 / speculation["rounds"])
    assert speculation["drafted"] == sum(p["drafted"] for p in speculation["by_position"])
    assert speculation["drafted"] == sum(s["drafted"] for s in speculation["by_source"].values())


def test_text_goes_to_stdout_and_figures_to_stderr(greedy):
    result = run("run", "-m", MODEL, "-p", PROMPT, "-n", "24", *GREEDY)
    assert result.returncode == 0, explain(result)
    assert result.stdout.decode() == greedy["text"] + "\n"
    figures = result.stderr.decode()
    assert re.fullmatch(r"24 tokens \(length\), [\d.]+ tok/s, first token \d+ ms, tau [\d.]+"
                        r"(, \w+ \d+/\d+ accepted)*, seed 1\n", figures), figures


def test_every_way_to_give_a_prompt_is_the_same(greedy, tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text(PROMPT + "\n")
    for arguments, stdin in ((("-f", str(path)), b""), ((), PROMPT.encode() + b"\n"),
                             (("-f", "-"), PROMPT.encode())):
        given = answer(*arguments, "-n", "24", *GREEDY, stdin=stdin)
        assert given["usage"]["prompt_tokens"] == greedy["usage"]["prompt_tokens"]
        assert given["token_ids"] == greedy["token_ids"]


def test_raw_leaves_the_template_out(greedy):
    raw = answer("-p", PROMPT, "--raw", "-n", "4", *GREEDY)
    system = answer("-p", PROMPT, "--system", "Be very brief.", "-n", "4", *GREEDY)
    assert raw["usage"]["prompt_tokens"] < greedy["usage"]["prompt_tokens"]
    assert system["usage"]["prompt_tokens"] != greedy["usage"]["prompt_tokens"]


def test_a_stop_string_ends_the_answer_and_is_not_part_of_it(greedy):
    words = greedy["text"].split()
    stop = words[3] + " " + words[4]  # across a token border
    stopped = answer("-p", PROMPT, "-n", "24", "--stop", "@@@", "--stop", stop, *GREEDY)
    assert stopped["finish_reason"] == "stop"
    assert stopped["text"] == greedy["text"][:greedy["text"].index(stop)]


def test_one_token_is_an_answer(greedy):
    one = answer("-p", PROMPT, "-n", "1", *GREEDY)
    assert one["token_ids"] == greedy["token_ids"][:1]
    assert one["timings"]["decode_tokens_per_second"] == 0


def test_a_seed_repeats_and_another_does_not():
    sample = ("-p", PROMPT, "-n", "24", "--temperature", "1")
    first = answer(*sample, "--seed", "7")
    assert answer(*sample, "--seed", "7")["token_ids"] == first["token_ids"]
    assert answer(*sample, "--seed", "8")["token_ids"] != first["token_ids"]
    unseeded = answer(*sample)
    again = answer(*sample, "--seed", str(unseeded["seed"]))
    assert again["token_ids"] == unseeded["token_ids"]


def test_draft_lengths_from_none_to_more_than_the_context(greedy):
    none = answer("-p", PROMPT, "-n", "24", "--speculation", "0", *GREEDY)
    off = answer("-p", PROMPT, "-n", "24", "--speculation", "off", *GREEDY)
    for plain in (none, off):
        assert plain["speculation"]["drafted"] == 0
        assert plain["token_ids"] == greedy["token_ids"]
    many = answer("-p", PROMPT, "-d", MODEL, "--speculation", "100000", "--sources", "draft",
                  "--context", "256", "-n", "24", *GREEDY)
    assert many["speculation"]["accepted"] > 0
    assert many["usage"]["completion_tokens"] == 24


def test_logprobs_are_of_the_chosen_and_the_likeliest():
    result = answer("-p", PROMPT, "-n", "5", "--logprobs", "3", *GREEDY)
    assert [entry["token_id"] for entry in result["logprobs"]] == result["token_ids"]
    assert "".join(entry["text"] for entry in result["logprobs"]) == result["text"]
    for entry in result["logprobs"]:
        assert len(entry["top"]) == 3
        assert entry["top"][0] == {"token_id": entry["token_id"], "logprob": entry["logprob"]}
        assert entry["logprob"] <= 0


def test_show_colours_without_changing_the_text(greedy):
    result = run("run", "-m", MODEL, "-d", MODEL, "-p", PROMPT, "-n", "24", "--show",
                 "--speculation", "3", "--sources", "draft", *GREEDY)
    assert result.returncode == 0, explain(result)
    shown = result.stdout.decode()
    assert "\x1b[32m" in shown, "accepted tokens of a draft that is the target"
    assert re.sub(r"\x1b\[\d+m", "", shown) == greedy["text"] + "\n"
    assert "accepted" in result.stderr.decode().splitlines()[0]


def test_prompts_are_answered_a_line_each_and_go_on_after_a_failure(tmp_path):
    path = tmp_path / "prompts.jsonl"
    lines = [{"question_id": "a", "turns": [PROMPT]}, {"prompt": "long " * 300},
             {"id": "c", "prompt": PROMPT}, {"prompt": "not reached"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("run", "-m", MODEL, "--prompts", str(path), "--limit", "3", "--context", "256",
                 "-n", "8", *GREEDY)
    assert result.returncode == 1, explain(result)
    first, second, third = (json.loads(line) for line in result.stdout.decode().splitlines())
    assert (first["index"], first["id"], third["index"], third["id"]) == (0, "a", 2, "c")
    assert first["token_ids"] == third["token_ids"]
    assert (second["index"], second["id"]) == (1, "1")
    assert second["error"]["code"] == "INVALID_ARGUMENT"
    assert "text" not in second


def test_a_prompt_longer_than_the_context_is_refused():
    result = run("run", "-m", MODEL, "-p", "word " * 500, "--context", "256")
    assert result.returncode == 1, explain(result)
    assert result.stdout == b""
    assert b"256" in result.stderr, explain(result)


def test_the_context_ends_an_answer_with_length():
    result = answer("-p", "word " * 235, "--raw", "--context", "256", "--ignore-end-of-text", *GREEDY)
    assert result["finish_reason"] == "length"
    assert sum(result["usage"].values()) <= 256
    assert 0 < result["usage"]["completion_tokens"] < 30


def test_a_truncated_model_is_an_error(tmp_path):
    path = tmp_path / "half.gguf"
    size = MODEL_FILE.stat().st_size
    with open(MODEL_FILE, "rb") as whole:
        path.write_bytes(whole.read(size // 2))
    result = run("run", "-m", str(path), "-p", "x")
    assert result.returncode == 1, explain(result)
    assert b"half.gguf" in result.stderr, explain(result)


def test_a_draft_that_cannot_load_is_a_warning(greedy, tmp_path):
    path = tmp_path / "draft.gguf"
    path.write_bytes(b"not a model")
    result = run("run", "-m", MODEL, "-d", str(path), "--sources", "draft", "-p", PROMPT, "-n",
                 "24", *GREEDY)
    assert result.returncode == 0, explain(result)
    assert result.stdout.decode() == greedy["text"] + "\n"
    assert b"warning" in result.stderr and b"draft" in result.stderr, explain(result)


def test_verbose_logs_to_stderr_only(greedy):
    result = run("-v", "run", "-m", MODEL, "-p", PROMPT, "-n", "24", *GREEDY)
    assert result.stdout.decode() == greedy["text"] + "\n"
    assert result.stderr.count(b"\n") > 5, explain(result)


def start(*arguments, **options):
    return subprocess.Popen([FORETOKEN, "run", "-m", MODEL, *arguments], stderr=subprocess.PIPE,
                            **options)


def test_a_reader_that_leaves_ends_it_quietly():
    with start("-p", PROMPT, "-n", "4000", "--ignore-end-of-text", "--context", "8192",
               stdout=subprocess.PIPE) as process:
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.wait(timeout=60) == -signal.SIGPIPE
        assert process.stderr.read() == b""


def test_a_full_disk_is_an_error():
    with open("/dev/full", "wb") as full, start("-p", PROMPT, "-n", "8", stdout=full) as process:
        assert process.wait(timeout=60) == 1
        assert b"standard output" in process.stderr.read()


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_stops_with_figures(as_json):
    arguments = ["-p", PROMPT, "-n", "8000", "--ignore-end-of-text", "--context", "8192"]
    with start(*arguments, *(["--json"] if as_json else []), stdout=subprocess.PIPE) as process:
        if as_json:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=8)  # nothing is printed before the end
        else:
            assert process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert b"(cancelled)" in err
        if as_json:
            assert json.loads(out)["finish_reason"] == "cancelled"
