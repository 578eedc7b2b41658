"""`foretoken bench load` on the small model, and the scripts that draw and compare what it says."""
import importlib.util
import json
import pathlib
import subprocess
import sys
import xml.dom.minidom

import pytest

from executable import FORETOKEN, MODEL, explain, needs_model, run

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
PROMPTS = ["Count from one to twenty.", "Write a Python function that adds two numbers.",
           "Name three colours.", "Say hello in French and in German."]
# One thread: many short forwards, and nothing here measures their speed.
QUICK = ("-n", "12", "--ignore-end-of-text", "--context", "1024", "--threads", "1",
         "--warm-up", "0")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("load") / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    return str(path)


def load(prompts, *arguments, code=0):
    result = run("bench", "load", "-m", MODEL, "--prompts", prompts, *QUICK, *arguments)
    assert result.returncode == code, explain(result)
    return result


@pytest.fixture(scope="module")
def report(prompts):
    return json.loads(load(prompts, "-d", MODEL, "--concurrency", "1,3", "--modes", "off,auto,3",
                           "--repeat", "2", "--requests", "1", "--ceiling", "--json").stdout)


@needs_model
def test_every_load_and_mode_has_its_figures(report):
    results = report["results"]
    assert [(r["concurrency"], r["mode"]) for r in results] == [
        (c, mode) for c in (1, 3) for mode in ("off", "auto", "3")]
    for result in results:
        clients = result["concurrency"]
        assert result["rate"] is None
        assert result["answers"] == 2 * clients
        assert result["completion_tokens"] == 12 * 2 * clients
        assert 0 < result["window_tokens"] <= result["completion_tokens"]
        assert result["aggregate_tokens_per_second"] > 0
        assert len(result["rounds_tokens_per_second"]) == 2
        for name in ("ttft_ms", "tpot_ms", "itl_ms"):
            assert 0 < result[name]["p50"] <= result[name]["p99"], name
        ratio = result["ratio_to_off"]
        assert ratio["min"] <= ratio["median"] <= ratio["max"]
        assert result["tenants"] == [{"weight": 1.0, "tokens_per_second":
                                      pytest.approx(result["aggregate_tokens_per_second"])}]
        assert result["fairness"] == pytest.approx(1)
        assert result["warnings"] == []
        if result["mode"] == "off":
            assert ratio["median"] == 1
            assert result["tau"] == 1
        if result["mode"] == "3":
            # The draft model is the target.
            assert result["tau"] > 1.5
            assert result["speculation"]["accepted"] > 0


@needs_model
def test_every_answer_was_compared(report):
    check = report["check"]
    assert check["compared"] == 3 * 2 * (1 + 3)
    assert check["unexcused"] == 0
    assert check["equal"] + check["excused"] == check["compared"]


@needs_model
def test_the_ceiling_is_of_measured_forwards(report):
    ceiling = report["ceiling"]
    assert set(ceiling["target_forward_ms"]) >= {"1", "4", "3", "12"}
    assert set(ceiling["draft_forward_ms"]) == {"1", "3"}
    assert [p["concurrency"] for p in ceiling["points"]] == [1, 3]
    for point in ceiling["points"]:
        assert point["ratio"] >= 1
        assert point["acceptance_of"] == "3"


@needs_model
def test_tenants_share_and_clients_may_wait(prompts):
    result = json.loads(load(prompts, "--concurrency", "4", "--modes", "off", "--repeat", "1",
                             "--tenants", "2", "--weights", "1,3", "--max-running", "2",
                             "--kv-cache", "2048", "--json").stdout)["results"][0]
    assert [tenant["weight"] for tenant in result["tenants"]] == [1, 3]
    assert sum(t["tokens_per_second"] for t in result["tenants"]) == pytest.approx(
        result["aggregate_tokens_per_second"])
    assert 0.5 <= result["fairness"] <= 1


@needs_model
def test_an_open_load(prompts):
    result = json.loads(load(prompts, "--rate", "20", "--requests", "3", "--modes", "auto",
                             "--repeat", "1", "--json").stdout)["results"][0]
    assert result["concurrency"] is None
    assert result["rate"] == 20
    assert result["answers"] == 3
    assert result["window_tokens"] == 36
    assert result["ratio_to_off"] is None


@needs_model
def test_a_flood(prompts):
    report = json.loads(load(prompts, "--flood", "3", "--requests", "2", "--modes", "off",
                             "--repeat", "1", "--json").stdout)
    assert report["results"] == []
    flood = report["flood"][0]
    assert flood["flood_requests"] == 3
    for side in ("beside_one", "beside_flood"):
        assert flood[side]["ttft_ms"]["samples"] == 2
        assert flood[side]["tpot_ms"]["p50"] > 0
    assert flood["ttft_ratio"]["median"] > 0
    assert report["check"]["compared"] >= 2 * 2


@needs_model
def test_the_table(prompts):
    table = load(prompts, "--concurrency", "2", "--modes", "off,2", "--repeat", "1").stdout
    for word in (b"same tokens: ", b"clients mode", b"      2 off  ", b"      2 2    ", b"suffix"):
        assert word in table, table.decode()


@needs_model
def test_what_is_not_compared_says_so(prompts):
    few = ("--concurrency", "1", "--modes", "off", "--repeat", "1", "--requests", "1", "--json")
    check = json.loads(load(prompts, "--no-check", *few).stdout)["check"]
    assert check["compared"] == 0 and "no-check" in check["skipped"]
    check = json.loads(load(prompts, "--rule", "max-acceptance", *few).stdout)["check"]
    assert check["compared"] == 0 and "max-acceptance" in check["skipped"]


@needs_model
def test_a_request_that_cannot_run_is_an_error(prompts, tmp_path):
    long = tmp_path / "long.jsonl"
    long.write_text(json.dumps({"prompt": "word " * 2000}) + "\n")
    result = load(str(long), "--concurrency", "1", "--repeat", "1", code=1)
    assert b"context" in result.stderr, explain(result)
    draft = tmp_path / "draft.gguf"
    draft.write_bytes(b"not a model")
    result = load(prompts, "-d", str(draft), "--concurrency", "1", "--repeat", "1", code=1)
    assert b"draft.gguf" in result.stderr, explain(result)


def plot(path):
    return subprocess.run([sys.executable, BENCH / "plot_load.py", str(path)],
                          capture_output=True, text=True, timeout=60, check=False)


def made_up_report():
    def result(clients, mode, rate):
        latency = {"p50": 10.0 * clients, "p99": 20.0 * clients}
        return {"concurrency": clients, "mode": mode, "aggregate_tokens_per_second": rate,
                "ratio_to_off": {"median": rate / (10 * clients)}, "ttft_ms": latency,
                "tpot_ms": latency, "itl_ms": latency}
    return {"settings": {"model": "a<b", "draft": None, "max_tokens": 5},
            "results": [result(1, "off", 10), result(1, "4", 14), result(2, "off", 20),
                        result(2, "4", 19)],
            "ceiling": {"points": [{"concurrency": 1, "ratio": 1.5},
                                   {"concurrency": 2, "ratio": 1.0}]}}


def test_the_plot_has_a_line_for_each_mode(tmp_path):
    path = tmp_path / "load.json"
    path.write_text(json.dumps(made_up_report()))
    result = plot(path)
    assert result.returncode == 0, result.stderr
    drawing = xml.dom.minidom.parseString(result.stdout)
    # Throughput 2; ratio 1 and the ceiling; three latencies with p50 and p99 of 2; no tau.
    lines = drawing.getElementsByTagName("polyline")
    assert len(lines) == 2 + 2 + 3 * 4
    words = [node.firstChild.data for node in drawing.getElementsByTagName("text")]
    for word in ("a<b, 5 tokens an answer", "off", "4 drafted", "4 drafted p99", "clients", "1",
                 "2"):
        assert word in words, words
    # Higher throughput is higher on the page, and everything is inside its panel.
    points = [[tuple(map(float, point.split(","))) for point in
               line.getAttribute("points").split()] for line in lines]
    assert points[0][0][1] > points[0][1][1]
    for line in points:
        for x, y in line:
            assert 0 < x < 430 and 0 < y < 290


def test_what_is_no_report_is_not_drawn(tmp_path):
    path = tmp_path / "load.json"
    for content in ("", "{}", '{"results": [{}]}', '{"settings": {}, "results": []}'):
        path.write_text(content)
        result = plot(path)
        assert result.returncode == 1
        assert result.stdout == ""
        assert "Traceback" not in result.stderr, result.stderr


# Answers as llama-server does; the numbers of tokens come from the test.
FAKE_SERVER = '''#!/usr/bin/env python3
import http.server, json, sys
PROMPT_TOKENS = json.loads(PROMPT_TOKENS_HERE)
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(b"{}")
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/apply-template":
            self.answer(json.dumps({"prompt": asked["messages"][0]["content"]}).encode())
            return
        events = [{"content": "x", "stop": False}] * (asked["n_predict"] - 1)  # one is held back
        events.append({"content": "", "stop": True, "tokens_predicted": asked["n_predict"],
                       "tokens_evaluated": PROMPT_TOKENS[asked["prompt"]]})
        self.answer(b"".join(b"data: " + json.dumps(e).encode() + b"\\n\\n" for e in events))
arguments = dict(zip(sys.argv[1::1], sys.argv[2::1]))
http.server.ThreadingHTTPServer(("127.0.0.1", int(arguments["--port"])), Handler).serve_forever()
'''


def compare(prompts, server, *arguments):
    return subprocess.run(
        [sys.executable, BENCH / "load_against_llama_server.py", "--llama-server", server,
         "--foretoken", FORETOKEN, "--model", MODEL, "--prompts", prompts, "--concurrency", "1,2",
         "--tokens", "8", "--requests", "1", "--rounds", "2", "--threads", "1", *arguments],
        capture_output=True, text=True, timeout=300, check=False)


def fake_server(folder, prompt_tokens):
    path = folder / "llama-server"
    path.write_text(FAKE_SERVER.replace("PROMPT_TOKENS_HERE", repr(json.dumps(prompt_tokens))))
    path.chmod(0o755)
    return str(path)


@needs_model
def test_the_comparison_with_llama_server(prompts, tmp_path):
    answers = run("run", "-m", MODEL, "--prompts", prompts, "-n", "1", "--threads", "1")
    assert answers.returncode == 0, explain(answers)
    counts = [json.loads(line)["usage"]["prompt_tokens"] for line in answers.stdout.splitlines()]
    tokens = dict(zip(PROMPTS, counts))
    result = compare(prompts, fake_server(tmp_path, tokens), "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert [(r["concurrency"], r["mode"]) for r in report["results"]] == [
        (c, mode) for c in (1, 2) for mode in ("foretoken", "llama-server")]
    for r in report["results"]:
        assert r["aggregate_tokens_per_second"] > 0
        assert r["ttft_ms"]["p50"] > 0
        assert (r["mode"] == "llama-server") == ("client_cpu_share" in r)
    path = tmp_path / "against.json"
    path.write_text(result.stdout)
    assert "ratio to llama-server" in plot(path).stdout

    table = compare(prompts, fake_server(tmp_path, tokens))
    assert "      2 llama-server" in table.stdout, table.stderr

    tokens[PROMPTS[0]] += 1
    other = compare(prompts, fake_server(tmp_path, tokens))
    assert other.returncode == 1
    assert "not the same prompts" in other.stderr


@needs_model
def test_a_server_that_does_not_start_is_explained(prompts, tmp_path):
    path = tmp_path / "llama-server"
    path.write_text("#!/bin/sh\necho no such option\nexit 3\n")
    path.chmod(0o755)
    result = compare(prompts, str(path))
    assert result.returncode == 1
    assert "ended with 3" in result.stderr and "no such option" in result.stderr, result.stderr


def test_both_sides_are_counted_by_the_same_rules():
    """The example of tests/unit/apps/bench_load_figures_test.cc, in seconds."""
    spec = importlib.util.spec_from_file_location("against",
                                                  BENCH / "load_against_llama_server.py")
    against = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(against)
    answers = [
        {"sent": 0, "arrivals": [0.1, 0.4, 0.4, 0.4, 0.7], "prompt_tokens": 100},
        {"sent": 0, "arrivals": [0.2, 1.9, 2.5, 2.5], "prompt_tokens": 100},
        {"sent": 0.8, "arrivals": [1.8] + [2.1] * 9, "prompt_tokens": 100},
        {"sent": 1.9, "arrivals": [2.05] * 4, "prompt_tokens": 100},
    ]
    figures = against.figures_of(answers, 2)
    assert figures["tokens_per_second"] == 4
    assert figures["ttft_ms"] == pytest.approx([100, 200, 1000])
    assert figures["tpot_ms"] == pytest.approx([150, 1700])
    assert against.percentile([5, 1, 9, 3], 0.5) == 3
    assert against.percentile([5, 1, 9, 3], 0.99) == 9
    assert against.percentile([], 0.5) == 0
