#!/usr/bin/env python3
"""Plain decoding under load: `foretoken bench load --modes off` against llama.cpp's llama-server.

    bench/load_against_llama_server.py --llama-server PATH --model qwen2.5-coder-1.5b \\
        --prompts bench/prompts/humaneval.jsonl --json > against.json
    bench/plot_load.py against.json > against.svg

For each number of clients the two are measured in turns, --rounds times, and whichever was second
is first in the next round. Each measurement starts its own process, warms it up, puts the load on
and ends the process before the other one starts, so that nothing idle takes time from it.

The work is the same on both sides: the same model file, threads, slots, context and KV cells; the
same prompts in the same order through the model's own chat template (the numbers of prompt tokens
are compared); the same number of tokens in every answer, greedy, past the end of text. Clients are
closed: each sends the next prompt of one queue when its last answer has ended. Only the time in
which all clients were busy counts: from the first request until a client finds the queue empty.

llama-server runs with a unified KV cache, a slot for every client and its prompt cache; it is
driven over HTTP on 127.0.0.1 with streaming. foretoken runs in process: its clients are threads of
the benchmark. HTTP costs llama-server some tens of microseconds a token, against forwards of tens
of milliseconds, and the reader here parses one line of JSON an answer only.

Figures: median tokens/s of all clients together, the median of the rounds' ratios, time to the
first token, and time per token (last minus first, over the tokens but one). Needs Python 3 only.
"""
import argparse
import http.client
import json
import math
import os
import pathlib
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS = 300  # to load a model


def note(line):
    if sys.stderr.isatty():
        print(line, file=sys.stderr)


def percentile(samples, share):
    """The smallest sample that at least this share of them does not exceed."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else 0


class LlamaServer:
    """A llama-server of its own process, from ready to gone."""

    def __init__(self, options, model_file, slots):
        self.log = tempfile.TemporaryFile()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [options.llama_server, "--model", model_file, "--host", "127.0.0.1",
             "--port", str(self.port), "--parallel", str(slots), "--kv-unified",
             "--ctx-size", str(options.context * slots), "--threads", str(options.threads),
             "--threads-batch", str(options.threads), "--flash-attn", options.flash_attention,
             "--batch-size", str(options.batch), "--ubatch-size", str(options.ubatch), "--no-webui",
             *shlex.split(options.server_arguments)],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        try:
            self.wait_until_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def explain(self, what):
        self.log.seek(0)
        tail = self.log.read().decode(errors="replace").splitlines()[-15:]
        return RuntimeError("\n".join([f"llama-server: {what}", *tail]))

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise self.explain(f"ended with {self.process.returncode}")
            try:
                if self.request("GET", "/health")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise self.explain(f"not ready after {START_SECONDS} s")

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def render(self, text):
        status, body = self.request("POST", "/apply-template",
                                    {"messages": [{"role": "user", "content": text}]})
        if status != 200:
            raise self.explain(f"/apply-template: {status} {body[:200]!r}")
        return json.loads(body)["prompt"]

    def complete(self, prompt, tokens, origin):
        """One answer: when it was sent, when each of its tokens came, and its prompt's tokens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        sent = time.monotonic() - origin
        try:
            connection.request("POST", "/completion", json.dumps(
                {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True,
                 "stream": True, "cache_prompt": True}), {"Content-Type": "application/json"})
            response = connection.getresponse()
            arrivals, last = [], b"{}"
            for line in response:
                if not line.startswith(b"data: "):
                    continue
                arrivals.append(time.monotonic() - origin)
                last = line[len(b"data: "):]
        finally:
            connection.close()
        final = json.loads(last)
        if response.status != 200 or not final.get("stop"):
            raise self.explain(f"/completion: {response.status} {last[:200]!r}")
        if final["tokens_predicted"] != tokens:
            raise self.explain(f"{final['tokens_predicted']} tokens instead of {tokens}")
        arrivals.pop()  # the last event carries figures, no token
        # Part of a character is held back and comes with the token that completes it.
        arrivals += arrivals[-1:] * (tokens - len(arrivals))
        return {"sent": sent, "arrivals": arrivals, "prompt_tokens": final["tokens_evaluated"]}


def run_clients(clients, prompts, answer):
    """Answers all prompts with that many threads; the answers, and when the first thread found
    nothing left to send."""
    lock = threading.Lock()
    waiting = list(reversed(prompts))
    answers, ends, errors = [], [], []

    def client():
        try:
            while True:
                with lock:
                    prompt = waiting.pop() if waiting and not errors else None
                    if prompt is None:
                        ends.append(time.monotonic())
                        return
                result = answer(prompt)
                with lock:
                    answers.append(result)
        except Exception as error:  # reported by the caller's thread
            with lock:
                errors.append(error)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return answers, min(ends)


def figures_of(answers, window):
    """What `foretoken bench load` reports of a round, by the same rules; times in seconds."""
    tokens = sum(at <= window for answer in answers for at in answer["arrivals"])
    ttft, tpot, itl = [], [], []
    for answer in answers:
        seen = [at for at in answer["arrivals"] if at <= window]
        if not seen:
            continue
        ttft.append((seen[0] - answer["sent"]) * 1000)
        itl += [(b - a) * 1000 for a, b in zip(seen, seen[1:])]
        if len(seen) > 1 and 2 * len(seen) >= len(answer["arrivals"]):
            tpot.append((seen[-1] - seen[0]) / (len(seen) - 1) * 1000)
    return {"tokens_per_second": tokens / window,
            "prompt_tokens": sum(answer["prompt_tokens"] for answer in answers),
            "ttft_ms": ttft, "tpot_ms": tpot, "itl_ms": itl}


def measure_llama_server(options, model_file, texts, clients):
    measured = clients * options.requests
    warm_up = clients * options.warm_up
    with LlamaServer(options, model_file, clients) as server:
        prompts = [server.render(texts[i % len(texts)]) for i in range(measured + warm_up)]
        run_clients(clients, prompts[measured:],
                    lambda prompt: server.complete(prompt, options.tokens, 0))
        origin = time.monotonic()
        answers, end = run_clients(clients, prompts[:measured],
                                   lambda prompt: server.complete(prompt, options.tokens, origin))
        return figures_of(answers, end - origin)


def measure_foretoken(options, clients):
    command = [options.foretoken, "bench", "load", "-m", options.model, "--prompts",
               options.prompts, "--concurrency", str(clients), "--modes", "off", "--repeat", "1",
               "--requests", str(options.requests), "--warm-up", str(options.warm_up), "-n",
               str(options.tokens), "--ignore-end-of-text", "--temperature", "0", "--context",
               str(options.context), "--kv-cache", str(options.context * clients), "--threads",
               str(options.threads), "--max-running", str(clients), "--prefix-reuse", "--no-check",
               "--json"]
    if options.limit:
        command += ["--limit", str(options.limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stderr}")
    result = json.loads(done.stdout)["results"][0]
    return {"tokens_per_second": result["aggregate_tokens_per_second"],
            "prompt_tokens": result["prompt_tokens"], "ttft_ms": result["ttft_ms"],
            "tpot_ms": result["tpot_ms"], "itl_ms": result["itl_ms"]}


def check_prompts(ours, theirs):
    if ours["prompt_tokens"] != theirs["prompt_tokens"]:
        raise RuntimeError(f"not the same prompts: {ours['prompt_tokens']} tokens for foretoken, "
                           f"{theirs['prompt_tokens']} for llama-server")


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def result_of(mode, clients, rounds, latencies, ratios):
    rates = [r["tokens_per_second"] for r in rounds]
    return {"concurrency": clients, "mode": mode,
            "aggregate_tokens_per_second": statistics.median(rates),
            "rounds_tokens_per_second": rates, "ratio_to_off": ratios, **latencies}


def summary(clients, ours, theirs):
    ratios = [a["tokens_per_second"] / b["tokens_per_second"] for a, b in zip(ours, theirs)]
    # foretoken reports percentiles of each round: their medians stand for it.
    our_latencies = {key: {p: statistics.median(r[key][p] for r in ours) for p in ("p50", "p99")}
                     for key in ("ttft_ms", "tpot_ms", "itl_ms")}
    their_latencies = {key: {name: statistics.median(percentile(r[key], share) for r in theirs)
                             for name, share in (("p50", 0.5), ("p99", 0.99))}
                       for key in ("ttft_ms", "tpot_ms", "itl_ms")}
    return [result_of("foretoken", clients, ours, our_latencies, spread(ratios)),
            result_of("llama-server", clients, theirs, their_latencies, spread([1.0]))]


def measure(options, model_file, texts):
    results = []
    for clients in options.concurrency:
        ours, theirs = [], []
        for number in range(options.rounds):
            for is_ours in (number % 2 == 0, number % 2 != 0):
                if is_ours:
                    ours.append(measure_foretoken(options, clients))
                else:
                    theirs.append(measure_llama_server(options, model_file, texts, clients))
            check_prompts(ours[-1], theirs[-1])
            note(f"{clients} clients, round {number + 1} of {options.rounds}: "
                 f"{ours[-1]['tokens_per_second']:.1f} tokens/s, llama-server "
                 f"{theirs[-1]['tokens_per_second']:.1f}")
        results += summary(clients, ours, theirs)
    return results


def table(results):
    yield (f"{'clients':>7} {'':<14}{'tok/s':>8}  {'ratio (range)':<22}{'TTFT, ms':>15}"
           f"{'TPOT, ms':>15}")
    for r in results:
        ratio = r["ratio_to_off"]
        shown = (f"{ratio['median']:.3f} ({ratio['min']:.3f} to {ratio['max']:.3f})"
                 if r["mode"] == "foretoken" else "")
        latency = ["{p50:.0f} / {p99:.0f}".format(**r[key]) for key in ("ttft_ms", "tpot_ms")]
        yield (f"{r['concurrency']:>7} {r['mode']:<14}{r['aggregate_tokens_per_second']:>8.1f}  "
               f"{shown:<22}{latency[0]:>15}{latency[1]:>15}")
    yield "ratio: foretoken over llama-server, median of rounds; latencies: p50 / p99"


def model_file_of(options):
    listed = subprocess.run([options.foretoken, "models", "--json"], check=True,
                            capture_output=True, text=True).stdout
    files = {model["name"]: model["path"] for model in json.loads(listed)}
    path = files.get(options.model, options.model)
    if not os.path.isfile(path):
        sys.exit(f"no model '{options.model}'; try: foretoken pull {options.model}")
    return path


def read_prompts(options):
    texts = []
    with open(options.prompts, encoding="utf-8") as file:
        for line in file:
            if line.strip():
                prompt = json.loads(line)
                texts.append(prompt["turns"][0] if "turns" in prompt else prompt["prompt"])
    return texts[:options.limit or None]


def numbers(text):
    return [int(item) for item in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-server", required=True, metavar="PATH",
                        help="the llama-server executable, built like the library foretoken uses")
    parser.add_argument("--foretoken", metavar="PATH",
                        default=str(ROOT / "build/release/apps/foretoken/foretoken"))
    parser.add_argument("--model", default="qwen2.5-coder-1.5b", help="a pulled model or a file")
    parser.add_argument("--prompts", default=str(ROOT / "bench/prompts/humaneval.jsonl"),
                        help="a JSON-lines file as for `foretoken bench load`")
    parser.add_argument("--limit", type=int, default=0, help="only the first N prompts")
    parser.add_argument("--concurrency", type=numbers, default=[1, 2, 4, 8, 16],
                        metavar="N,N,...", help="clients (default: 1,2,4,8,16)")
    parser.add_argument("--tokens", type=int, default=64, help="of every answer (default: 64)")
    parser.add_argument("--requests", type=int, default=2,
                        help="of each client in a round (default: 2)")
    parser.add_argument("--warm-up", type=int, default=1,
                        help="requests of each client before, not counted (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="of both (default: 3)")
    parser.add_argument("--context", type=int, default=1024,
                        help="tokens of context of each client (default: 1024)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of both (default: the processors)")
    parser.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto",
                        help="llama-server's (default: auto)")
    parser.add_argument("--batch", type=int, default=2048, help="llama-server's (default: 2048)")
    parser.add_argument("--ubatch", type=int, default=512, help="llama-server's (default: 512)")
    parser.add_argument("--server-arguments", default="", metavar="'...'",
                        help="more arguments of llama-server, e.g. '--cache-ram 0'")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()

    model_file = model_file_of(options)
    try:
        results = measure(options, model_file, read_prompts(options))
    except RuntimeError as error:
        sys.exit(str(error))
    if options.json:
        settings = {key: value for key, value in vars(options).items()
                    if key not in ("llama_server", "foretoken", "json")}
        settings["max_tokens"] = options.tokens
        print(json.dumps({"benchmark": "load against llama-server", "settings": settings,
                          "ratio_base": "llama-server", "results": results}, indent=2))
    else:
        print("\n".join(table(results)))


if __name__ == "__main__":
    main()
