"""Clients that mean harm, over raw sockets: others are served, and memory stays bounded."""
import contextlib
import json
import socket
import time

import pytest

from executable import MODEL
from serving import Server, answer, user, wait_for

# How much more memory the server may have than before all of this.
MORE_BYTES = 96 << 20
SETTINGS = """
limits:
  header_read: 1s
  slow_reader: 1s
  body: 4MiB
"""


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("hostile"), SETTINGS)
    server.acme = server.store.add("acme")
    with server:
        with server.client(server.acme) as client:
            answer(client)
        server.bytes_at_rest = server.resident_bytes()
        yield server


@pytest.fixture(autouse=True)
def others_are_served(server):
    """After every test; those that keep a connection busy look meanwhile, too."""
    yield
    look(server)


def look(server):
    """Another client gets its answer, and the server has not grown."""
    with server.client(server.acme, timeout=30) as client:
        assert answer(client, max_tokens=2).usage.completion_tokens == 2
    assert server.process.poll() is None
    grown = server.resident_bytes() - server.bytes_at_rest
    assert grown < MORE_BYTES, f"{grown >> 20} MiB more than at rest"


@contextlib.contextmanager
def connected(server, receive_bytes=None):
    with socket.socket() as sock:
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(30)
        sock.connect(("127.0.0.1", server.port))
        yield sock


def head(server, *lines, path="/v1/chat/completions"):
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: server",
                        f"Authorization: Bearer {server.acme}",
                        "Content-Type: application/json", *lines, "", ""]).encode()


def post(server, body):
    return head(server, f"Content-Length: {len(body)}", "Connection: close") + body


def read_all(sock):
    data = b""
    with contextlib.suppress(ConnectionError):
        while block := sock.recv(65536):
            data += block
    return data


def status_of(sock):
    """The status of the answer, or None where the connection just ends."""
    data = read_all(sock)
    return int(data.split(b" ", 2)[1]) if data else None


def send_some(sock, data):
    """What the server takes of it; it may hang up at any time."""
    with contextlib.suppress(ConnectionError):
        sock.sendall(data)
        return True
    return False


def status_to(server, data):
    with connected(server) as sock:
        send_some(sock, data)
        return status_of(sock)


def test_slow_loris(server):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connected(server)) for _ in range(100)]
        for sock in sockets:
            sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nX-A: b")
        look(server)
        deadline = time.monotonic() + 20
        alive = list(sockets)
        while alive and time.monotonic() < deadline:
            alive = [sock for sock in alive if send_some(sock, b"b")]
            time.sleep(0.1)
        assert not alive, f"{len(alive)} of 100 are still listened to"
        assert all(status_of(sock) in (408, None) for sock in sockets)


def test_a_hundred_megabytes_are_refused_by_their_length(server):
    with connected(server) as sock:
        sock.sendall(head(server, f"Content-Length: {100 << 20}"))
        assert status_of(sock) == 413


def test_a_hundred_megabytes_of_chunks_are_refused_when_too_many_have_come(server):
    with connected(server) as sock:
        sock.sendall(head(server, "Transfer-Encoding: chunked"))
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(100 << 4):
            if not send_some(sock, chunk):
                break
        assert status_of(sock) in (413, None)


def test_ten_thousand_headers(server):
    data = head(server, *(f"X-Header-{i}: {i}" for i in range(10_000)))
    assert status_to(server, data) in (431, None)
    assert status_to(server, b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n") in (414, 431, None)


@pytest.mark.parametrize("body", [
    b"[" * 1_000_000,
    b'{"messages":' * 100_000,
    b'{"model":"x","messages":' + b"[" * 100 + b"]" * 100 + b"}",
    b'{"messages":[{"role":"user","content":"caf\xc3"}]}',
    b'{"messages":[{"role":"user","content":"\xff\xfe"}]}',
    b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    b'{"messages":[{"role":"user","content":"x"}],"max_tokens":1e999}',
    b'{"messages":[{"role":"user","content":"x"}],"seed":99999999999999999999999}',
    b"\x00" * 1000,
    b"",
])
def test_bodies_that_are_no_request(server, body):
    assert status_to(server, post(server, body)) == 400


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\nBad Header: x\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    b"\r\n" * 10_000,
])
def test_what_is_no_http(server, data):
    with connected(server) as sock:
        send_some(sock, data)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        status = status_of(sock)
    assert status is None or 400 <= status < 500


def test_a_long_prompt_is_refused_by_its_tokens(server):
    body = json.dumps({"messages": user("word " * 700_000), "max_tokens": 1}).encode()
    assert status_to(server, post(server, body)) == 400


def test_a_client_that_never_reads(server):
    body = json.dumps({
        "model": MODEL, "messages": user("Count."), "max_tokens": 1900, "n": 4, "stream": True,
        "logprobs": True, "top_logprobs": 20, "ignore_eos": True}).encode()

    def rows():
        return [row for row in server.store.rows() if row["http_status"] == 200 and
                row["outcome"] == "cancelled"]
    before = len(rows())
    with connected(server, receive_bytes=4096) as sock:
        sock.sendall(post(server, body))
        look(server)
        wait_for(lambda: len(rows()) == before + 1, "the request is given up")
        assert rows()[-1]["completion_tokens"] < 4 * 1900


def test_many_that_leave_at_once(server):
    body = json.dumps({"messages": user("Count."), "max_tokens": 1500, "stream": True,
                       "ignore_eos": True}).encode()
    for _ in range(60):
        with connected(server) as sock:
            sock.sendall(post(server, body))
    with server.client(server.acme) as client:
        answer(client)
