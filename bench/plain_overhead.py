#!/usr/bin/env python3
"""Plain decoding through the whole of foretoken against llama.cpp's own llama-bench, interleaved.

    bench/plain_overhead.py --llama-bench PATH [--model qwen2.5-coder-1.5b] [--rounds 7]

Same file, same threads, same number of tokens after the same number of cached ones. Prints the
median tokens per second of both and the median of the per-round ratios of time per token.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPT = "Write a C++ program that prints the first twenty prime numbers."


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--llama-bench", required=True, help="the llama-bench executable")
    parser.add_argument("--foretoken", default=str(ROOT / "build/release/apps/foretoken/foretoken"))
    parser.add_argument("--model", default="qwen2.5-coder-1.5b", help="a pulled model")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", default=str(len(os.sched_getaffinity(0))))
    options = parser.parse_args()

    models = json.loads(output_of(options.foretoken, "models", "--json"))
    files = {model["name"]: model["path"] for model in models}
    if options.model not in files:
        sys.exit(f"no model '{options.model}'; try: foretoken pull {options.model}")

    def ours():
        result = json.loads(output_of(
            options.foretoken, "run", "-m", options.model, "-p", PROMPT, "-n", str(options.tokens),
            "--ignore-end-of-text", "--temperature", "0", "--speculation", "off", "--json",
            "--threads", options.threads))
        return (result["timings"]["decode_tokens_per_second"], result["usage"]["prompt_tokens"])

    def theirs(depth):
        result = json.loads(output_of(
            options.llama_bench, "-m", files[options.model], "-p", "0", "-n", str(options.tokens),
            "-d", str(depth), "-r", "1", "-t", options.threads, "-o", "json"))
        return result[0]["avg_ts"]

    rates, peer_rates, ratios = [], [], []
    depth = ours()[1]
    theirs(depth)  # both have been warmed up
    for number in range(options.rounds):
        first_ours = number % 2 == 0
        rate = ours()[0] if first_ours else None
        peer = theirs(depth)
        if rate is None:
            rate = ours()[0]
        rates.append(rate)
        peer_rates.append(peer)
        ratios.append(peer / rate)
    print(f"foretoken    {statistics.median(rates):.2f} tokens/s (median of {options.rounds})")
    print(f"llama-bench  {statistics.median(peer_rates):.2f} tokens/s")
    print(f"time per token, foretoken / llama-bench: median {statistics.median(ratios):.3f}, "
          f"{min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
