#!/usr/bin/env python3
"""Streaming clients with random disconnects, for minutes, before `foretoken serve`.

Each client asks one of a few questions, again and again, and leaves every third answer at a random
place. At the end: the server's memory is what it was after the warm-up, every answer is the one
that the question has alone (or its beginning), and the ledger has what the clients received.

    ctest --test-dir build/release -L soak -R server_soak
"""
import argparse
import asyncio
import dataclasses
import pathlib
import random
import sys
import tempfile
import time

from executable import MODEL
from serving import Server, user, wait_for

QUESTIONS = [{"messages": user(f"Write about the number {number}."), "max_tokens": 8 + 4 * number,
              "temperature": number % 3 / 2, "seed": number} for number in range(12)]


@dataclasses.dataclass
class Tally:
    """What the clients received."""
    ended: dict = dataclasses.field(default_factory=dict)  # answer's id -> its usage
    left: int = 0
    wrong: list = dataclasses.field(default_factory=list)


async def ask(client, number, leave_after):
    """The text, the id, and the usage unless it left before the end."""
    text, pieces = "", 0
    stream = await client.chat.completions.create(
        model=MODEL, stream=True, stream_options={"include_usage": True}, **QUESTIONS[number])
    async with stream:
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            pieces += 1
            if pieces == leave_after:
                return text, chunk.id, None
            if chunk.usage:
                usage = chunk.usage
        return text, chunk.id, usage


async def one_client(server, seed, expected, tally, until):
    choice = random.Random(seed)
    async with server.async_client(server.acme) as client:
        while time.monotonic() < until:
            number = choice.randrange(len(QUESTIONS))
            leave_after = choice.randrange(1, 24) if choice.random() < 1 / 3 else 0
            text, name, usage = await ask(client, number, leave_after)
            if usage is None:
                tally.left += 1
            else:
                tally.ended[name] = usage
            whole = expected[number]
            if text != whole and (usage is not None or not whole.startswith(text)):
                tally.wrong.append((number, text))


async def load(server, clients, expected, tally, seconds):
    until = time.monotonic() + seconds
    await asyncio.gather(*(one_client(server, seed, expected, tally, until)
                           for seed in range(clients)))


async def alone(server):
    async with server.async_client(server.acme) as client:
        return [(await ask(client, number, 0))[0] for number in range(len(QUESTIONS))]


def check_ledger(server, tally):
    """What is wrong with the ledger, if anything."""
    rows = {f"chatcmpl-{row['id']}": row for row in server.store.rows()}
    problems = []
    for name, usage in tally.ended.items():
        row = rows.get(name)
        received = (usage.prompt_tokens, usage.completion_tokens,
                    usage.prompt_tokens_details.cached_tokens)
        if row is None:
            problems.append(f"{name} is not in the ledger")
        elif received != (row["prompt_tokens"], row["completion_tokens"], row["cached_tokens"]):
            problems.append(f"{name}: received {received}, recorded {row}")
    # Those that left may have been answered to the end in that moment, but are recorded too.
    expected = len(tally.ended) + tally.left + len(QUESTIONS)
    if len(rows) != expected:
        problems.append(f"{len(rows)} rows for {expected} requests")
    return problems


def run(folder, options):
    server = Server(folder)
    server.acme = server.store.add("acme")
    with server:
        expected = asyncio.run(alone(server))
        tally = Tally()
        asyncio.run(load(server, options.clients, expected, tally, options.warm_up))
        before = server.resident_bytes()
        asyncio.run(load(server, options.clients, expected, tally, options.seconds))
        after = server.resident_bytes()
        wait_for(lambda: len(server.store.rows()) >= len(tally.ended) + tally.left, "the last rows")
        problems = check_ledger(server, tally)
    growth = after / before - 1
    tokens = sum(usage.completion_tokens for usage in tally.ended.values())
    print(f"{len(tally.ended)} answers with {tokens} tokens, {tally.left} left before their end; "
          f"memory {before >> 20} MiB, then {after >> 20} MiB ({growth:+.2%})")
    problems += [f"question {number} was answered with {text!r}" for number, text in tally.wrong]
    if growth > 0.02:
        problems.append("memory grew by more than 2 %")
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=300, help="of load after the warm-up")
    parser.add_argument("--warm-up", type=float, default=60, help="seconds before that")
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        problems = run(pathlib.Path(folder), options)
    for problem in problems[:20]:
        print(f"server_soak: {problem}", file=sys.stderr)
    print("failed" if problems else "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
