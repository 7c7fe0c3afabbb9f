# SPDX-License-Identifier: MIT
"""The PROXY protocol on the wire, over TCP and unix sockets: who may send a header, whom requests
are from, in environ and in the logs."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from harness import Client, Response, Server, poll

Serve = Callable[..., Server]
Shown = dict[str, str]

#: Shows who is said to be there; /boom raises.
SHOW = """
import json

KEYS = ("REMOTE_ADDR", "REMOTE_PORT", "PROXY_PROTOCOL", "PROXY_ADDR", "PROXY_PORT",
        "SERVER_NAME", "wsgi.url_scheme", "PATH_INFO")

def app(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise RuntimeError("boom")
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [json.dumps({k: environ[k] for k in KEYS if k in environ}).encode()]
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
V1 = b"PROXY TCP4 203.0.113.5 198.51.100.9 4711 443\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT = {
    "REMOTE_ADDR": "203.0.113.5",
    "REMOTE_PORT": "4711",
    "PROXY_PROTOCOL": "TCP4",
    "PROXY_ADDR": "198.51.100.9",
    "PROXY_PORT": "443",
}


def v2(
    source: str = "203.0.113.5",
    destination: str = "198.51.100.9",
    ports: tuple[int, int] = (4711, 443),
    extra: bytes = b"",
) -> bytes:
    """A PROXY command of version 2 over TCP."""
    ends = [ip_address(source), ip_address(destination)]
    family = b"\x11" if ends[0].version == 4 else b"\x21"
    data = b"".join(e.packed for e in ends) + struct.pack(">HH", *ports) + extra
    return SIGNATURE + b"\x21" + family + struct.pack(">H", len(data)) + data


def v2_unix(source: bytes, destination: bytes) -> bytes:
    return SIGNATURE + b"\x21\x31" + struct.pack(">H108s108s", 216, source, destination)


@pytest.fixture(params=["tcp", "unix"])
def start(serve: Serve, worker_class: str, request: pytest.FixtureRequest) -> Callable:
    """Starts a server with keep-alive and an access log; returns it and what connects to it."""

    def begin(*args: str) -> tuple[Server, Callable[[], Client]]:
        args = (*args, "-k", worker_class, "--keep-alive", "30", "--access-logfile", "-")
        server = serve(SHOW, *args, bind=["127.0.0.1:0", "unix:app.sock"])
        if request.param == "tcp":
            return server, server.connect
        return server, lambda: server.connect_unix("app.sock")

    return begin


@pytest.fixture
def server(serve: Serve, worker_class: str) -> Server:
    args = ("-k", worker_class, "--keep-alive", "30", "--access-logfile", "-")
    return serve(SHOW, "--proxy-protocol", *args)


def shown(response: Response) -> Shown:
    assert response.status == 200, response
    return json.loads(response.body)


def proxy_keys(environ: Shown) -> Shown:
    return {k: v for k, v in environ.items() if k in CLIENT}


# Whom a request is from


@pytest.mark.parametrize("mode", ["auto", "v1", "v2"])
def test_header_names_the_client(start: Callable, mode: str) -> None:
    _, connect = start("--proxy-protocol", mode)
    headers = {"v1": [V1], "v2": [v2()], "auto": [V1, v2(), v2(extra=b"\x04\0\1x")]}
    for header in headers[mode]:
        with connect() as client:
            client.send(header + GET)
            assert proxy_keys(shown(client.response())) == CLIENT


def test_header_of_ipv6(start: Callable) -> None:
    _, connect = start("--proxy-protocol=auto")
    for header in (
        b"PROXY TCP6 2001:DB8::0:7 ::1 65535 80\r\n",
        v2("2001:db8::7", "::1", (65535, 80)),
    ):
        with connect() as client:
            client.send(header + GET)
            assert proxy_keys(shown(client.response())) == {
                "REMOTE_ADDR": "2001:db8::7",
                "REMOTE_PORT": "65535",
                "PROXY_PROTOCOL": "TCP6",
                "PROXY_ADDR": "::1",
                "PROXY_PORT": "80",
            }


def test_header_of_a_unix_client(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    with connect() as client:
        client.send(v2_unix(b"/run/c\xff.sock", b"/run/lb.sock") + GET)
        assert proxy_keys(shown(client.response())) == {
            "REMOTE_ADDR": "",
            "PROXY_PROTOCOL": "UNIX",
            "PROXY_ADDR": "/run/lb.sock",
            "PROXY_PORT": "",
        }


def test_every_request_of_the_connection_has_the_data(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    with connect() as client:
        client.send(v2() + GET)
        assert proxy_keys(shown(client.response())) == CLIENT
        for _ in range(3):
            client.send(GET)
            assert proxy_keys(shown(client.response())) == CLIENT
        client.send_request("POST", "/", body=b"x" * 100_000)
        assert proxy_keys(shown(client.response())) == CLIENT


def test_pipelined_requests_have_the_data(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    with connect() as client:
        post = (
            b"POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        )
        client.send(V1 + GET + post + GET)
        answers = [shown(client.response()) for _ in range(3)]
    assert [proxy_keys(a) for a in answers] == [CLIENT] * 3
    assert [a["PATH_INFO"] for a in answers] == ["/", "/2", "/"]


def test_connections_do_not_share_the_data(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    with connect() as first, connect() as second, connect() as third:
        first.send(v2("192.0.2.1") + GET)
        second.send(v2("192.0.2.2") + GET)
        third.send(GET)
        answers = [
            shown(c.response())
            for c in (
                first,
                second,
                third,
            )
        ]
    assert [a["REMOTE_ADDR"] for a in answers[:2]] == ["192.0.2.1", "192.0.2.2"]
    assert "PROXY_PROTOCOL" not in answers[2]


def test_without_a_header_the_peer_is_the_client(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    for before in (b"", b"\r\n", b"\r\n\r\n"):
        with connect() as client:
            client.send(before + GET)
            environ = shown(client.response())
            assert environ["REMOTE_ADDR"] in ("127.0.0.1", "")
            assert not [k for k in environ if k.startswith("PROXY_")]


@pytest.mark.parametrize(
    ("header", "protocol"),
    [
        (b"PROXY UNKNOWN\r\n", "UNKNOWN"),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "UNKNOWN"),
        (SIGNATURE + b"\x20\0\0\0", "LOCAL"),
        (SIGNATURE + b"\x21\0\0\3abc", "UNSPEC"),
    ],
)
def test_header_that_says_nothing_leaves_the_peer(
    server: Server, header: bytes, protocol: str
) -> None:
    with server.connect() as client:
        client.send(header + GET)
        environ = shown(client.response())
        port = str(client.sock.getsockname()[1])
    assert proxy_keys(environ) == {
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": port,
        "PROXY_PROTOCOL": protocol,
    }


def test_header_arrives_byte_by_byte(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    for header in (V1, v2()):
        with connect() as client:
            client.send_pieces([bytes((b,)) for b in header + GET])
            assert proxy_keys(shown(client.response())) == CLIENT


def test_scheme_headers_are_believed_by_the_peer_and_not_by_the_client(serve: Serve) -> None:
    """A client whose address a PROXY header names cannot make itself a trusted forwarder, and a
    trusted peer stays one when it names its client."""
    get = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
    trusting = serve(SHOW, "--proxy-protocol", "v1", "--forwarded-allow-ips", "127.0.0.1")
    wary = serve(SHOW, "--proxy-protocol", "v1", "--forwarded-allow-ips", "203.0.113.5")
    for server, scheme in ((trusting, "https"), (wary, "http")):
        with server.connect() as client:
            client.send(V1 + get)
            environ = shown(client.response())
        assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.5", scheme)


# What is refused


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.168.0.1 192.16...\r\n",
        b"PROXY TCP4 203.0.113.5 198.51.100.9 65iii 100000\r\n",
        b"PROXY TCP4 not-an-ip 198.51.100.9 4711 443\r\n",
        b"PROXY TCP4 203.0.113.5 198.51.100.9 4711 443\n",
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        SIGNATURE + b"\x11\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
        SIGNATURE + b"\x21\x12\0\x0c" + bytes(12),
        SIGNATURE + b"\x20\0\xff\xff" + bytes(65535),
    ],
)
def test_broken_header_is_refused(start: Callable, header: bytes) -> None:
    server, connect = start("--proxy-protocol")
    with connect() as client:
        client.send(header + GET)
        assert client.response().status == 400
        assert client.at_end()
    server.wait_log("Invalid request from ip=(127.0.0.1)?: Invalid PROXY header")
    assert '"GET / ' not in server.log


def test_peer_outside_the_list_may_not_send_a_header(serve: Serve) -> None:
    args = ("--proxy-protocol", "--proxy-allow-from", "192.0.2.0/24, ::1")
    server = serve(SHOW, *args, bind=["127.0.0.1:0", "unix:app.sock"])
    for header in (V1, v2(), b"PROXY "):
        with server.connect() as client:
            client.send(header + GET)
            response = client.response()
            assert response.status == 403 and b"Request forbidden" in response.body
            assert client.at_end()
    server.wait_log("Invalid request from ip=127.0.0.1: Request forbidden", count=3)
    with server.connect() as client:
        client.send(GET)
        assert shown(client.response())["REMOTE_ADDR"] == "127.0.0.1"
    with server.connect_unix("app.sock") as client:
        client.send(V1 + GET)
        assert shown(client.response())["REMOTE_ADDR"] == "203.0.113.5"


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "*"])
def test_peer_in_a_network_of_the_list_may(serve: Serve, allowed: str) -> None:
    server = serve(SHOW, "--proxy-protocol", "--proxy-allow-from", allowed)
    with server.connect() as client:
        client.send(V1 + GET)
        assert shown(client.response())["REMOTE_ADDR"] == "203.0.113.5"


def test_second_header_is_a_bad_request(start: Callable) -> None:
    _, connect = start("--proxy-protocol")
    with connect() as client:
        client.send(V1 + GET)
        assert client.response().status == 200
        client.send(V1 + GET)
        assert client.response().status == 400
        assert client.at_end()


@pytest.mark.parametrize(("mode", "header"), [("off", V1), ("off", v2()), ("v1", v2()), ("v2", V1)])
def test_header_that_is_not_expected_is_a_bad_request(
    start: Callable, mode: str, header: bytes
) -> None:
    server, connect = start("--proxy-protocol", mode)
    with connect() as client:
        client.send(header + GET)
        assert client.response().status == 400
        assert client.at_end()
    assert "203.0.113.5" not in server.log


def asks(connect: Callable[[], Client]) -> int:
    """The status; 408 for a client that was slow itself, as the machine may make it."""
    with connect() as client:
        client.send(GET)
        return client.response().status


@pytest.mark.parametrize("sent", [b"PROXY TCP4 203.0.113.5 ", v2()[:20]])
def test_slow_header_times_out(start: Callable, sent: bytes) -> None:
    server, connect = start(
        "--proxy-protocol", "v1" if sent[:1] == b"P" else "v2", "--client-header-timeout", "1"
    )
    with connect() as client:
        client.send(sent)
        poll(lambda: asks(connect) == 200, "an answer for another client")
        assert client.response().status == 408
        assert client.at_end()
    server.wait_log("did not arrive within client_header_timeout")


def test_health_checks_are_closed_without_a_word(start: Callable) -> None:
    server, connect = start("--proxy-protocol")
    for data in (b"", b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"):
        with connect() as client:
            client.send(data)
            client.shut()
            assert client.rest() == b""
    assert "WARNING" not in server.log


# Logs


def test_logs_show_the_client(server: Server) -> None:
    with server.connect() as client:
        client.send(v2("2001:db8::7", "::1") + GET)
        assert client.response().status == 200
        client.send_request("GET", "/boom")
        assert client.response().status == 500
    with server.connect() as client:
        client.send(V1 + b"GET\r\n\r\n")
        assert client.response().status == 400
    server.wait_log(r'(?m)^2001:db8::7 - - \[[^]]+\] "GET / HTTP/1.1" 200 ')
    server.wait_log(r'(?m)^2001:db8::7 - - \[[^]]+\] "GET /boom HTTP/1.1" 500 ')
    server.wait_log("Invalid request from ip=203.0.113.5: Invalid request line")


def test_path_of_a_unix_client_cannot_forge_a_log_line(server: Server) -> None:
    with server.connect() as client:
        client.send(v2_unix(b'x\r\n[forged] "', b"") + GET)
        assert client.response().status == 200
        client.send(b"GET\r\n\r\n")
        assert client.response().status == 400
    server.wait_log("Invalid request from ip=x")
    assert not re.search(r"(?m)^\[forged\]", server.log)
    server.wait_log(re.escape(r"x\x0d\x0a[forged] \" - - ["))
