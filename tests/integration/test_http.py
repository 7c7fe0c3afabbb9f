# SPDX-License-Identifier: MIT
"""HTTP/1.x on the wire: connections, framing, malformed requests, limits, slow clients."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable

import pytest
from harness import Client, Server

Serve = Callable[..., Server]

#: Counts its calls and shows what it read.
COUNT = """
calls = 0
def app(environ, start_response):
    global calls
    calls += 1
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("X-Calls", str(calls))])
    return [environ["PATH_INFO"].encode("latin-1") + b" " + body]
"""
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"

#: Seconds. Who waits for another client waits longer: those here would be given up after 30.
HELD_S = 20.0
#: How long a connection is kept whose client has its answer and does not close its own end.
LINGER_S = 2.0


@pytest.fixture
def count(serve: Serve, worker_class: str) -> Server:
    return serve(COUNT, "-k", worker_class, "--keep-alive", "30")


# Connections


def test_sync_closes_by_default(serve: Serve) -> None:
    server = serve(COUNT)
    with server.connect() as client:
        client.send(GET % b"")
        assert client.response().field("connection") == "close"
        assert client.at_end()


def test_keep_alive_when_it_is_asked_for(count: Server) -> None:
    with count.connect() as client:
        for n in range(1, 6):
            client.send(GET % b"")
            r = client.response()
            assert (r.field("connection"), r.field("x-calls")) == ("keep-alive", str(n))


def test_keep_alive_ends_after_its_time(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--keep-alive", "1")
    with server.connect() as client:
        began = time.monotonic()
        client.send(GET % b"")
        client.response()
        assert client.at_end()
        assert time.monotonic() - began > 0.5


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, CLOSE", "TE, close"])
def test_connection_is_a_list(count: Server, value: str) -> None:
    with count.connect() as client:
        client.send_request("GET", "/", f"Connection: {value}")
        assert client.response().field("connection") == "close"
        assert client.at_end()


def test_http_1_0_keep_alive_only_when_asked(count: Server) -> None:
    with count.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        r = client.response()
        assert (r.version, r.field("connection")) == ("HTTP/1.0", "keep-alive")
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert client.response().field("connection") == "close"
        assert client.at_end()


def test_application_may_close(serve: Serve, worker_class: str) -> None:
    app = 'def app(e, s):\n s("200 OK", [("Connection", "close")])\n return [b"x"]'
    server = serve(app, "-k", worker_class, "--keep-alive", "30")
    with server.connect() as client:
        client.send(GET % b"")
        assert client.response().field("connection") == "close"
        assert client.at_end()


@pytest.mark.parametrize(
    ("fields", "status", "connection"),
    [
        ([("Connection", "keep-alive")], 200, "keep-alive"),
        ([("Connection", "Upgrade"), ("Upgrade", "websocket")], 200, "keep-alive, upgrade"),
        ([("Upgrade", "h2c")], 500, "close"),
        ([("Connection", "close, X-Private")], 500, "close"),
        ([("Keep-Alive", "timeout=5")], 500, "close"),
    ],
)
def test_connection_is_the_servers_to_describe(
    serve: Serve, worker_class: str, fields: list, status: int, connection: str
) -> None:
    app = f'def app(e, s):\n s("200 OK", {fields!r})\n return [b"x"]'
    server = serve(app, "-k", worker_class, "--keep-alive", "5")
    response = server.get()
    assert (response.status, response.field("connection")) == (status, connection)
    if status == 500:
        server.wait_log("gave a hop-by-hop header")
    else:
        assert "hop-by-hop" not in server.log


def test_pipelined_requests_are_answered_in_order(count: Server) -> None:
    with count.connect() as client:
        client.send(b"".join(GET % b"%d" % i for i in range(50)))
        assert [client.response().body for _ in range(50)] == [b"/%d " % i for i in range(50)]


def test_pipelined_bodies_are_kept_apart(count: Server) -> None:
    post = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab%d"
    chunk = (
        b"POST /c%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n"
    )
    with count.connect() as client:
        client.send(b"".join(post % (i, i) + chunk % (i, i) for i in range(5)))
        for i in range(5):
            assert client.response().body == b"/%d ab%d" % (i, i)
            assert client.response().body == b"/c%d %d" % (i, i)


def test_request_byte_by_byte(count: Server) -> None:
    with count.connect() as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi":
            client.send(bytes([byte]))
        assert client.response().body == b"/slow hi"


def test_unread_body_is_not_taken_for_a_request(serve: Serve, worker_class: str) -> None:
    app = 'def app(e, s):\n s("200 OK", [])\n return [e["PATH_INFO"].encode()]'
    server = serve(app, "-k", worker_class, "--keep-alive", "30")
    body = (GET % b"evil") * 3000
    with server.connect() as client:
        client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert client.response().body == b"/a"
        head = b"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        assert client.response().body == b"/b"
        client.send(GET % b"c")
        assert client.response().body == b"/c"


def test_bad_chunk_is_refused_though_nobody_reads_the_body(serve: Serve, worker_class: str) -> None:
    app = 'def app(e, s):\n print("called", flush=True)\n s("200 OK", [])\n return [b"x"]'
    server = serve(app, "-k", worker_class, "--keep-alive", "30")
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect() as client:
        client.send(head + b"1\r\na\r\n")
        client.send(b"z\r\n" + GET % b"evil")
        assert [r.status for r in client.responses()] == [400]
    assert "called" not in server.log


def test_half_closed_client_gets_its_answer(count: Server) -> None:
    assert count.raw(GET % b"").startswith(b"HTTP/1.1 200 OK\r\n")


def test_empty_lines_before_a_request_are_tolerated(count: Server) -> None:
    assert count.raw(b"\r\n" + GET % b"").startswith(b"HTTP/1.1 200 OK\r\n")


def test_upgrade_is_ignored(count: Server) -> None:
    fields = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    answer = count.raw(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_date_and_server_fields(count: Server) -> None:
    r = count.get()
    assert r.field("server") == "cgunicorn"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", r.field("date") or "")
    assert [n for n, _ in r.fields[:3]] == ["Server", "Date", "Connection"]


# Expect


def test_100_continue_is_sent_before_the_body(count: Server) -> None:
    with count.connect() as client:
        client.send_request("POST", "/", "Expect: 100-Continue", "Content-Length: 5")
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().body == b"/ hello"


def test_100_continue_is_not_sent_when_the_body_is_there(count: Server) -> None:
    with count.connect() as client:
        client.send_request("POST", "/", "Expect: 100-continue", body=b"hello")
        assert client.response().body == b"/ hello"


def test_100_continue_is_sent_once(count: Server) -> None:
    with count.connect() as client:
        client.send_request("POST", "/", "Expect: 100-continue", "Content-Length: 5")
        assert client.head().status == 100
        for byte in b"hello":
            client.send(bytes([byte]))
        assert client.response().body == b"/ hello"
        client.send(GET % b"next")
        assert client.response().body == b"/next "


def test_100_continue_is_not_sent_with_a_refusal(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--limit-request-body", "4")
    for expect, status in ((b"100-continue", 413), (b"100-continue, x", 417)):
        with server.connect() as client:
            head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: %b\r\n\r\n"
            client.send(head % expect)
            assert [r.status for r in client.responses()] == [status]


def test_other_expectations_fail(count: Server) -> None:
    with count.connect() as client:
        client.send_request("POST", "/", "Expect: miracles", body=b"hello")
        assert client.response().status == 417


# Malformed requests: status, one log line, never executed, the connection closes.

BAD = {
    "no-spaces": (b"GET\r\n\r\n", 400),
    "http-0.9": (b"GET /\r\n\r\n", 400),
    "two-spaces": (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method-lower": (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "method-unknown": (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "method-rtsp": (b"DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
    "version-2": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    "version-1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    "version-junk": (b"GET / FTP/1.1\r\nHost: a\r\n\r\n", 400),
    "h2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505)),
    "rtsp-version": (b"GET / RTSP/1.0\r\n\r\n", 400),
    "target-relative": (b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-asterisk": (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-authority": (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-nul": (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-control": (b"GET /a\x01b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-del": (b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "target-long": (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "host-missing": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "host-twice": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "host-junk": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "bare-lf": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare-cr": (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
    "nul-in-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    "fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    "space-before-colon": (b"GET / HTTP/1.1\r\nHost: a\r\nX : a\r\n\r\n", 400),
    "name-empty": (b"GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", 400),
    "name-non-ascii": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: a\r\n\r\n", 400),
    "no-colon": (b"GET / HTTP/1.1\r\nHost: a\r\nnothing\r\n\r\n", 400),
    "field-long": (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
    "fields-many": (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
    "length-sign": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
    "length-list": (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", 400),
    "length-twice": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        400,
    ),
    "length-overflow": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\na",
        400,
    ),
    "length-and-chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
        400,
    ),
    "coding-unknown": (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: foo\r\n\r\n", 501),
    "coding-without-chunked": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
        501,
    ),
    "coding-on-1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked-nel": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x85\r\n\r\n0\r\n\r\n",
        (400, 501),
    ),
    "chunked-nbsp": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n",
        (400, 501),
    ),
}
BAD_CHUNKS = {
    "minus": b"-1\r\na\r\n0\r\n\r\n",
    "prefix": b"0x1\r\na\r\n0\r\n\r\n",
    "space": b" 1\r\na\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\na\r\n0\r\n\r\n",
    "empty": b"\r\na\r\n0\r\n\r\n",
    "bare-lf": b"1\na\r\n0\r\n\r\n",
    "no-crlf-after-data": b"1\r\nab\r\n0\r\n\r\n",
    "lf-in-extension": b"1;a\nb\r\na\r\n0\r\n\r\n",
    "long-extension": b"1;" + b"a" * 70000 + b"\r\na\r\n0\r\n\r\n",
    "forbidden-trailer": b"0\r\nContent-Length: 1\r\n\r\n",
    "folded-trailer": b"0\r\nX: a\r\n b\r\n\r\n",
}


def check_refused(server: Server, data: bytes, status: int | tuple[int, ...]) -> None:
    before = server.get("/count").field("x-calls")
    answer = server.raw(data + GET % b"smuggled")
    codes = [int(c) for c in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]
    expected = status if isinstance(status, tuple) else (status,)
    assert len(codes) == 1 and codes[0] in expected, answer
    assert b"Connection: close" in answer
    after = server.get("/count").field("x-calls")
    assert int(after or 0) == int(before or 0) + 1, "the application was called"
    server.wait_log(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: \S+")


@pytest.mark.parametrize("case", BAD)
def test_malformed_request_is_refused(count: Server, case: str) -> None:
    check_refused(count, *BAD[case])


@pytest.mark.parametrize("case", BAD_CHUNKS)
def test_malformed_chunked_body_is_refused(count: Server, case: str) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    check_refused(count, head + BAD_CHUNKS[case], 400)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00", b"\xff\xfe\xfd", b"\1"])
def test_binary_noise_is_refused_at_once(count: Server, data: bytes) -> None:
    with count.connect() as client:
        client.send(data)
        assert client.response().status == 400


def test_nul_is_refused_at_once_where_only_http_is_spoken(serve: Serve, worker_class: str) -> None:
    """Elsewhere it may begin a packet of the uwsgi protocol."""
    with serve(COUNT, "-k", worker_class, "--protocol", "http").connect() as client:
        client.send(b"\0")
        assert client.response().status == 400


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\rH",
        b"GET /\0",
        b"GET /\t",
        b"GET / HTTP/1.1\r\n ",
        b"GET / HTTP/1.1\r\n:",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f",
        b"GET / HTTP/1.1\r\nHost: a\r\n\t",
    ],
    ids=repr,
)
def test_broken_head_is_refused_at_its_first_bad_byte(count: Server, data: bytes) -> None:
    with count.connect() as client:
        client.send(data)
        assert client.response().status == 400


def test_version_of_an_answer_is_one_that_we_speak(count: Server) -> None:
    for version, answered in (
        (b"1.0", b"1.0"),
        (b"1.1", b"1.1"),
        (b"1.2", b"1.1"),
        (b"1.9", b"1.1"),
    ):
        answer = count.raw(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        assert answer.startswith(b"HTTP/%b " % answered), version


def test_refusal_of_head_has_no_body(count: Server) -> None:
    answer = count.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 417 ") and answer.endswith(b"\r\n\r\n")


def test_error_page_is_small_html_with_a_reason(count: Server) -> None:
    with count.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n")
        r = client.response()
    assert (r.status, r.reason, r.field("content-type")) == (501, "Not Implemented", "text/html")
    assert b"<h1><p>Not Implemented</p></h1>" in r.body


def test_truncated_requests_are_refused(count: Server) -> None:
    for data in (
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    ):
        assert count.raw(data).startswith(b"HTTP/1.1 400 "), data


def test_body_limit(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--limit-request-body", "10")
    with server.connect() as client:
        client.send_request("POST", body=b"x" * 10)
        assert client.response().status == 200
    for framing in (
        b"Content-Length: 11\r\n\r\n" + b"x" * 11,
        b"Transfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n",
    ):
        assert server.raw(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing).startswith(b"HTTP/1.1 413 ")


def test_refusal_of_a_large_upload_reaches_the_client(serve: Serve, worker_class: str) -> None:
    """The answer must not be lost in a reset while the client is still sending."""
    server = serve(COUNT, "-k", worker_class, "--limit-request-body", "1000")
    for _ in range(20):
        with server.connect() as client:
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            client.send(b"x" * 100000)
            assert client.response().status == 413


# Slow clients


def idle_clients(server: Server, n: int, data: bytes = b"") -> list[Client]:
    clients = [server.connect() for _ in range(n)]
    for client in clients:
        client.send(data)
    return clients


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HT",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na",
    ],
    ids=["silent", "head", "body", "chunk"],
)
def test_incomplete_requests_cost_nobody_anything(count: Server, data: bytes) -> None:
    clients = idle_clients(count, 50, data)
    began = time.monotonic()
    for _ in range(10):
        assert count.get().status == 200
    assert time.monotonic() - began < HELD_S
    for client in clients:
        client.close()


def test_client_that_keeps_its_end_open_holds_nobody(serve: Serve) -> None:
    server = serve(COUNT)
    clients = []
    began = time.monotonic()
    for data in (GET % b"", b"junk\r\n\r\n") * 10:
        client = server.connect()
        client.send(data)
        client.response()
        clients.append(client)
    assert time.monotonic() - began < 10 * LINGER_S
    for client in clients:
        assert client.at_end()
        client.close()


@pytest.mark.parametrize(
    ("data", "option"),
    [
        (b"GET / HTTP/1.1\r\nHost", "--client-header-timeout"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc", "--client-body-timeout"),
    ],
    ids=["head", "body"],
)
def test_slow_request_is_answered_408(
    serve: Serve, worker_class: str, data: bytes, option: str
) -> None:
    server = serve(COUNT, "-k", worker_class, option, "1")
    with server.connect() as client:
        client.send(data)
        assert client.response().status == 408
        assert client.at_end()


def test_silent_connection_is_closed_without_an_answer(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--client-header-timeout", "1")
    with server.connect() as client:
        assert client.rest() == b""


BIG = """
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/whole":
        return [b"x" * 20_000_000]
    if environ["PATH_INFO"] == "/parts":
        return (b"x" * 1_000_000 for _ in range(20))
    return [b"small"]
"""


def small_window(server: Server) -> Client:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", server.port))
    return Client(sock)


def test_slow_reader_of_a_finished_response_holds_nobody(serve: Serve, worker_class: str) -> None:
    server = serve(BIG, "-k", worker_class)
    with small_window(server) as slow:
        slow.send(GET % b"whole")
        began = time.monotonic()
        assert server.get("/small").body == b"small"
        assert time.monotonic() - began < HELD_S
        assert len(slow.response().body) == 20_000_000


def test_reader_that_never_reads_is_dropped(serve: Serve, worker_class: str) -> None:
    server = serve(BIG, "-k", worker_class, "--send-timeout", "1")
    for target in (b"parts", b"whole"):
        with small_window(server) as stuck:
            stuck.send(GET % target)
            began = time.monotonic()
            assert server.get("/small").body == b"small"
            assert time.monotonic() - began < HELD_S


# Logs


def test_access_log_is_gunicorns(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--access-logfile", "-")
    server.get("/a?b=c", "User-Agent: test/1.0", 'Referer: http://x/"q"')
    line = server.wait_log(r"127\.0\.0\.1 - - .*").group(0)
    pattern = (
        r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /a\?b=c HTTP/1\.1" 200 3 "http://x/\\"q\\"" "test/1\.0"'
    )
    assert re.fullmatch(pattern, line), line


def test_access_log_format_atoms(serve: Serve, worker_class: str) -> None:
    fmt = "%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(T)s|%(p)s|%({x-a}i)s|%({X-Calls}o)s|%(u)s|%%"
    server = serve(
        COUNT, "-k", worker_class, "--access-logfile", "-", "--access-logformat", "LINE " + fmt
    )
    server.get("/p?q=1", "X-A: v", "Authorization: Basic bWU6c2VjcmV0")
    line = server.wait_log("LINE (.*)").group(1)
    pid = server.workers()[0]
    assert re.fullmatch(rf"GET\|/p\|q=1\|HTTP/1.1\|200\|3\|3\|\d\|<{pid}>\|v\|1\|me\|%", line)


def test_log_lines_cannot_be_forged(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class, "--access-logfile", "-")
    server.get("/", "User-Agent: a\tb\x80\\")
    assert r'"a\x09b\x80\\"' in server.wait_log("GET / .*").group(0)


def test_silence_without_access_log(serve: Serve, worker_class: str) -> None:
    server = serve(COUNT, "-k", worker_class)
    server.get("/quiet")
    assert "/quiet" not in server.log
