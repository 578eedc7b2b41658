"""Signals: what runs ends well, and what a client was told is in the ledger whatever happens."""
import collections
import signal
import threading
import time

import openai
import pytest

from serving import Server, answer, wait_for


@pytest.fixture(name="server")
def fixture_server(tmp_path):
    server = Server(tmp_path / "server", "drain: 120s\n")
    server.acme = server.store.add("acme")
    with server:
        yield server


def begin_stream(client, tokens):
    stream = answer(client, max_tokens=tokens, stream=True,
                    extra_body={"ignore_eos": True}, stream_options={"include_usage": True})
    next(stream)
    return stream


def test_sigterm_lets_what_runs_end(server):
    with server.client(server.acme) as client, server.client(server.acme) as other:
        stream = begin_stream(client, 100)
        server.signal(signal.SIGTERM)
        wait_for(lambda: "no new requests" in server.log.read_text(), "the drain begins")
        with pytest.raises((openai.APIConnectionError, openai.InternalServerError)):
            answer(other)
        chunks = list(stream)
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage.completion_tokens == 100
    assert server.wait() == 0
    assert server.store.row(chunks[-1].id)["completion_tokens"] == 100


def test_a_second_sigterm_does_not_wait(server):
    with server.client(server.acme) as client:
        begin_stream(client, 1800)
        server.signal(signal.SIGTERM)
        wait_for(lambda: "no new requests" in server.log.read_text(), "the drain begins")
        server.signal(signal.SIGTERM)
        assert server.wait() != 0


def test_sighup_reloads_and_disturbs_nobody(server):
    with server.client(server.acme) as client:
        stream = begin_stream(client, 60)
        for _ in range(3):
            server.signal(signal.SIGHUP)
        key = server.store.add("newcomer")
        server.signal(signal.SIGHUP)
        wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new tenant is known")
        assert list(stream)[-1].usage.completion_tokens == 60
    assert server.process.poll() is None


class Load:
    """Clients in threads; remembers every answer that came to its end."""

    def __init__(self, server, threads):
        self.server = server
        self.ended = []
        self.threads = [threading.Thread(target=self.ask) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        with self.server.client(self.server.acme) as client:
            try:
                while True:
                    *_, last = answer(client, max_tokens=4, temperature=1, stream=True,
                                      stream_options={"include_usage": True})
                    self.ended.append((last.id, last.usage.completion_tokens))
            except openai.APIConnectionError:
                pass  # the server is gone

    def join(self):
        for thread in self.threads:
            thread.join()


def test_kill_at_any_moment_loses_no_finished_request(server):
    ended = []
    for moment in (0.3, 0.05, 0.7):
        load = Load(server, 8)
        wait_for(lambda load=load: len(load.ended) >= 12, "answers")
        time.sleep(moment)
        # A change that was acknowledged survives as well.
        key = server.store.add_key("acme")
        server.kill()
        load.join()
        ended += load.ended
        server.start()
        assert server.get("/v1/models", key)[0] == 200
        rows = {f"chatcmpl-{row['id']}": row["completion_tokens"] for row in server.store.rows()}
        assert {name: rows.get(name) for name, _ in ended} == dict(ended)
        counts = collections.Counter(row["id"] for row in server.store.rows())
        assert set(counts.values()) == {1}
    with server.client(server.acme) as client:
        assert answer(client).usage.completion_tokens == 16
