"""Tenants, keys and quotas from the command line to the client."""
import concurrent.futures
import threading

import openai
import pytest

from executable import MODEL, run
from serving import Server, answer, user, wait_for


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("tenants"), "limits: {quota_wait: 0s}\n")
    server.acme = server.store.add("acme")
    with server:
        yield server


def new_tenant(server, name, *flags):
    """A key of a tenant that is made while the server runs."""
    key = server.store.add(name, *flags)
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new tenant is known")
    return key


def test_a_key_is_shown_once_works_and_is_revoked(server):
    made = run("key", "add", "acme", "--store", str(server.store.path))
    key = made.stdout.decode().strip()
    assert b"only time" in made.stderr
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new key is known")
    with server.client(key) as client:
        answer(client, max_tokens=1)
        assert key not in server.store.run("key", "list", "--json")
        # A stream that has begun is not ended by what happens to its key.
        stream = answer(client, max_tokens=100, stream=True, extra_body={"ignore_eos": True})
        next(stream)
        server.store.run("key", "revoke", key)
        wait_for(lambda: server.get("/v1/models", key)[0] == 401, "the key is refused", 5)
        with pytest.raises(openai.AuthenticationError):
            answer(client, max_tokens=1)
        assert [chunk for chunk in stream][-1].choices[0].finish_reason == "length"
    assert server.get("/v1/models", server.acme)[0] == 200


def test_a_disabled_and_a_removed_tenant_are_refused(server):
    key = new_tenant(server, "brief")
    server.store.run("tenant", "set", "brief", "--disable")
    wait_for(lambda: server.get("/v1/models", key)[0] != 200, "the disabled tenant is refused")
    server.store.run("tenant", "set", "brief", "--enable")
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the tenant is back")
    server.store.run("tenant", "rm", "brief")
    wait_for(lambda: server.get("/v1/models", key)[0] == 401, "the removed tenant is unknown")


def test_parallel_requests_use_a_quota_to_the_last_token_and_no_further(server):
    key = new_tenant(server, "metered", "--tokens-per-minute", "700")
    with server.client(server.acme) as client:
        prompt_tokens = answer(client, max_tokens=1).usage.prompt_tokens
    each = prompt_tokens + 32

    def attempt(_):
        with server.client(key) as client:
            try:
                return answer(client, max_tokens=32,
                              extra_body={"ignore_eos": True}).usage.total_tokens
            except openai.RateLimitError as error:
                headers = error.response.headers
                assert 1 <= int(headers["retry-after"]) <= 61
                assert headers["x-ratelimit-limit-tokens"] == "700"
                return 0
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        served = [tokens for tokens in pool.map(attempt, range(24)) if tokens]
    assert served == [each] * (700 // each)
    left = 700 % each - prompt_tokens
    if left > 0:  # what is left is for a shorter answer
        with server.client(key) as client:
            assert answer(client, max_tokens=left).usage.completion_tokens == left
    row, = server.store.usage("--tenant", "metered")
    assert row["prompt_tokens"] + row["completion_tokens"] <= 700


def test_what_can_never_fit_is_wrong_and_not_to_be_retried(server):
    key = new_tenant(server, "narrow", "--tokens-per-minute", "40")
    with server.client(key) as client:
        with pytest.raises(openai.BadRequestError):
            answer(client, max_tokens=64)
        assert answer(client, max_tokens=1).usage.completion_tokens == 1


def test_an_answer_ends_where_its_quota_ends(server):
    key = new_tenant(server, "short", "--tokens-per-minute", "150")
    with server.client(key) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=MODEL, messages=user("Count."), extra_body={"ignore_eos": True})
        completion = raw.parse()
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.total_tokens == 150
    assert raw.headers["x-foretoken-quota"] == "tokens_per_minute"
    assert server.store.row(completion.id)["outcome"] == "quota"


def test_clients_that_obey_retry_after_get_their_turn(server):
    key = new_tenant(server, "single", "--concurrent-requests", "1")
    refused = threading.Event()

    def note(response):
        if response.status_code == 429:
            refused.set()
    watched = openai.DefaultHttpxClient(event_hooks={"response": [note]})
    with server.client(key) as first, \
            server.client(key, max_retries=8, http_client=watched) as second:
        stream = answer(first, max_tokens=1800, stream=True, extra_body={"ignore_eos": True})
        next(stream)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(answer, second, max_tokens=4)
            assert refused.wait(60)
            stream.close()
            assert waiting.result().usage.completion_tokens == 4


def test_usage_is_what_the_clients_received(server):
    key = new_tenant(server, "counted")
    kinds = ("prompt_tokens", "completion_tokens")
    total = {kind: 0 for kind in kinds}
    cached = 0

    def ask(number):
        with server.client(key) as client:
            if number % 2:
                return answer(client, max_tokens=number + 1, n=1 + number % 3, temperature=1)
            stream = answer(client, max_tokens=number + 1, stream=True,
                            stream_options={"include_usage": True})
            return list(stream)[-1]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for received in pool.map(ask, range(16)):
            row = server.store.row(received.id)
            for kind in kinds:
                assert row[kind] == getattr(received.usage, kind)
                total[kind] += row[kind]
            cached += received.usage.prompt_tokens_details.cached_tokens
            assert row["cached_tokens"] == received.usage.prompt_tokens_details.cached_tokens
    row, = server.store.usage("--tenant", "counted")
    assert {kind: row[kind] for kind in kinds} == total
    assert row["requests"] == 16 and row["failed_requests"] == 0
    assert row["cached_tokens"] == cached
