# SPDX-License-Identifier: MIT
"""PEP 3333 against the running server: start_response, what the application returns, and what
becomes of its mistakes.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, answer, poll

Serve = Callable[..., Server]


def test_single_chunk_list_gets_a_content_length(serve: Serve, worker_class: str) -> None:
    r, _ = answer(serve, worker_class, 'start_response("200 OK", [])\nreturn [b"hello"]')
    assert (r.field("content-length"), r.chunks, r.body) == ("5", None, b"hello")


def test_generator_is_chunked_and_each_chunk_leaves_at_once(
    serve: Serve, worker_class: str
) -> None:
    app = """
import time, pathlib
def app(environ, start_response):
    start_response("200 OK", [])
    yield b"one"
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    yield b""
    yield b"two"
"""
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET")
        head = client.head()
        assert head.field("transfer-encoding") == "chunked"
        chunks = client._chunks()
        assert next(chunks) == b"one"
        (server.directory / "go").touch()
        assert list(chunks) == [b"two"]


def test_http_1_0_gets_a_close_delimited_body(serve: Serve, worker_class: str) -> None:
    app = (
        'def app(environ, start_response):\n start_response("200 OK", [])\n yield b"a"\n yield b"b"'
    )
    server = serve(app, "-k", worker_class)
    answer = server.raw(b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"ab"
    assert b"transfer-encoding" not in head.lower()


def test_generator_may_call_start_response_late(serve: Serve, worker_class: str) -> None:
    r, _ = answer(serve, worker_class, 'yield b""\nstart_response("201 Created", [])\nyield b"x"')
    assert (r.status, r.reason, r.body) == (201, "Created", b"x")


def test_write_callable(serve: Serve, worker_class: str) -> None:
    r, _ = answer(
        serve,
        worker_class,
        'write = start_response("200 OK", [])\nwrite(b"a")\nwrite(b"")\nwrite(b"b")\nreturn [b"c"]',
    )
    assert r.body == b"abc"


def test_empty_iterable(serve: Serve, worker_class: str) -> None:
    r, _ = answer(serve, worker_class, 'start_response("200 OK", [])\nreturn []')
    assert (r.status, r.field("content-length"), r.body) == (200, "0", b"")


def test_exc_info_before_the_head_replaces_it(serve: Serve, worker_class: str) -> None:
    body = """
start_response("200 OK", [("X-Old", "1")])
try:
    raise KeyError("x")
except KeyError:
    start_response("500 Oops", [("X-New", "1")], sys.exc_info())
return [b"sorry"]
"""
    r, _ = answer(serve, worker_class, body)
    assert (r.status, r.reason, r.body) == (500, "Oops", b"sorry")
    assert r.field("x-new") == "1" and r.field("x-old") is None


def test_empty_first_chunk_does_not_send_the_head(serve: Serve, worker_class: str) -> None:
    body = """
start_response("200 OK", [("X-Old", "1")])
yield b""
try:
    raise KeyError("x")
except KeyError:
    start_response("503 Later", [("X-New", "1")], sys.exc_info())
yield b"sorry"
"""
    r, _ = answer(serve, worker_class, body)
    assert (r.status, r.body) == (503, b"sorry")
    assert r.field("x-new") == "1" and r.field("x-old") is None


def test_exc_info_after_the_head_is_raised_again_and_cuts_the_answer(
    serve: Serve, worker_class: str
) -> None:
    app = """
import sys
def app(environ, start_response):
    write = start_response("200 OK", [])
    write(b"begun")
    try:
        raise KeyError("late")
    except KeyError:
        start_response("500 Oops", [], sys.exc_info())
    return [b"never"]
"""
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET")
        with pytest.raises(EOFError):
            client.response()
    server.wait_log("KeyError: 'late'")


def test_second_start_response_without_exc_info_is_an_error(
    serve: Serve, worker_class: str
) -> None:
    r, server = answer(
        serve, worker_class, 'start_response("200 OK", [])\nstart_response("200 OK", [])\nreturn []'
    )
    assert r.status == 500
    server.wait_log("AssertionError")


MISTAKES = {
    "never": ("return [b'x']", "start_response"),
    "never-and-empty": ("return []", "start_response"),
    "never-in-a-generator": ("yield b''\nyield b'x'", "start_response"),
    "write-str": ('start_response("200 OK", [])("text")\nreturn []', "str"),
    "str-chunk": ('start_response("200 OK", [])\nreturn ["text"]', "str"),
    "none": ('start_response("200 OK", [])\nreturn None', "NoneType"),
    "int-chunk": ('start_response("200 OK", [])\nreturn [1]', "int"),
    "status-int": ('start_response(200, [])\nreturn [b""]', "status"),
    "status-crlf": (r'start_response("200 OK\r\nX-Evil: 1", [])' + "\nreturn []", "status"),
    "status-short": ('start_response("20", [])\nreturn []', "status"),
    "status-1xx": ('start_response("101 Switch", [])\nreturn []', "status"),
    "name-crlf": (r'start_response("200 OK", [("X\r\nEvil", "1")])' + "\nreturn []", "name"),
    "name-empty": ('start_response("200 OK", [("", "1")])\nreturn []', "name"),
    "name-space": ('start_response("200 OK", [("X Y", "1")])\nreturn []', "name"),
    "value-crlf": (r'start_response("200 OK", [("X", "1\r\nEvil: 1")])' + "\nreturn []", "value"),
    "value-nul": (r'start_response("200 OK", [("X", "a\0b")])' + "\nreturn []", "value"),
    "value-int": ('start_response("200 OK", [("X", 1)])\nreturn []', "str"),
    "value-bytes": ('start_response("200 OK", [("X", b"1")])\nreturn []', "str"),
    "value-unicode": (r'start_response("200 OK", [("X", "\u20ac")])' + "\nreturn []", "latin-1"),
    "header-triple": ('start_response("200 OK", [("X", "1", "2")])\nreturn []', "header"),
    "hop-by-hop": (
        'start_response("200 OK", [("Transfer-Encoding", "x")])\nreturn []',
        "op-by-hop",
    ),
    "length-sign": ('start_response("200 OK", [("Content-Length", "+1")])\nreturn [b"x"]', "ength"),
    "length-twice": (
        'start_response("200 OK", [("Content-Length", "1"), ("Content-Length", "2")])\n'
        'return [b"x"]',
        "Content-Length",
    ),
    "raises": ('raise RuntimeError("kaboom")', "RuntimeError: kaboom"),
    "raises-in-iter": (
        'start_response("200 OK", [])\nreturn (1 // 0 for _ in "a")',
        "ZeroDivisionError",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_application_mistake_is_a_clean_500_and_a_clear_line(
    serve: Serve, worker_class: str, mistake: str
) -> None:
    body, told = MISTAKES[mistake]
    r, server = answer(serve, worker_class, body)
    assert r.status == 500, server.log
    assert b"Internal Server Error" in r.body
    assert not any("evil" in n.lower() for n, _ in r.fields)
    server.wait_log(r"Error handling request GET /")
    server.wait_log(re.escape(told))


# HEAD, 204, 304 and Content-Length


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_bodyless_status_sends_no_body(serve: Serve, worker_class: str, status: str) -> None:
    server = serve(
        f'def app(e, s):\n s("{status}", [("X-A", "1")])\n return [b"surplus"]', "-k", worker_class
    )
    head, _, body = server.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status.encode())
    assert body == b""
    assert b"transfer-encoding" not in head.lower()


def test_head_has_the_length_of_get_and_no_body(serve: Serve, worker_class: str) -> None:
    server = serve('def app(e, s):\n s("200 OK", [])\n return [b"hello"]', "-k", worker_class)
    head, _, body = server.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: 5" in head
    assert body == b""


def test_head_of_a_generator_has_the_length_it_was_given(serve: Serve, worker_class: str) -> None:
    r, _ = answer(
        serve,
        worker_class,
        'start_response("200 OK", [("Content-Length", "2")])\nyield b"a"\nyield b"b"',
        "HEAD",
    )
    assert (r.field("content-length"), r.field("transfer-encoding")) == ("2", None)


def test_failure_in_head_has_no_body(serve: Serve, worker_class: str) -> None:
    server = serve("def app(e, s):\n 1 / 0", "-k", worker_class)
    answer = server.raw(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ") and answer.endswith(b"\r\n\r\n")


LENGTHS = """
def app(environ, start_response):
    path = environ["PATH_INFO"]
    write = start_response("200 OK", [("Content-Length", "3")])
    if path == "/write":
        write(b"ab")
        write(b"cdef")
        return [b"ghi"]
    return {"/list": [b"abcdef"], "/parts": [b"abc", b"def"], "/right": [b"abc"]}[path]
"""


@pytest.mark.parametrize("path", ["/list", "/parts", "/write"])
def test_cut_body_does_not_desynchronise_the_connection(
    serve: Serve, worker_class: str, path: str
) -> None:
    """The connection goes on with the right answer or it is closed."""
    server = serve(LENGTHS, "-k", worker_class, "--keep-alive", "30")
    with server.connect() as client:
        client.send_request("GET", path)
        client.send_request("GET", "/right")
        client.shut()
        assert {r.body for r in client.responses()} == {b"abc"}
    server.wait_log("Content-Length")


def test_body_longer_than_its_length_is_cut(serve: Serve, worker_class: str) -> None:
    r, server = answer(
        serve,
        worker_class,
        'start_response("200 OK", [("Content-Length", "3")])\nreturn [b"abc", b"def"]',
    )
    assert r.body == b"abc"
    server.wait_log(r"Content-Length")


def test_body_shorter_than_its_length_closes(serve: Serve, worker_class: str) -> None:
    app = 'def app(e, s):\n s("200 OK", [("Content-Length", "9")])\n return [b"abc"]'
    server = serve(app, "-k", worker_class, "--keep-alive", "30")
    with server.connect() as client:
        client.send_request("GET")
        with pytest.raises(EOFError):
            client.response()
    server.wait_log(r"Content-Length")


# file_wrapper

FILES = """
def app(environ, start_response):
    f = open("data", "rb")
    f.seek(int(environ["QUERY_STRING"] or 0))
    headers = [("Content-Length", "10")] if environ["PATH_INFO"] == "/ten" else []
    start_response("200 OK", headers)
    return environ["wsgi.file_wrapper"](f, 1000)
"""


@pytest.mark.parametrize("args", [(), ("--no-sendfile",)], ids=["sendfile", "no-sendfile"])
def test_file_wrapper_honours_position_and_length(
    serve: Serve, worker_class: str, args: tuple[str, ...], tmp_path: Path
) -> None:
    data = bytes(range(256)) * 1000
    (tmp_path / "data").write_bytes(data)
    server = serve(FILES, "-k", worker_class, *args)
    r = server.get("/")
    assert (r.field("content-length"), r.body) == (str(len(data)), data)
    assert server.get("/?255900").body == data[255900:]
    assert server.get("/ten?5").body == data[5:15]
    assert server.get(f"/?{len(data)}").body == b""
    with server.connect() as client:
        client.send_request("HEAD", "/", "Connection: close")
        assert client.response("HEAD").field("content-length") == str(len(data))
        assert client.rest() == b""


def test_file_wrapper_around_something_without_a_descriptor(
    serve: Serve, worker_class: str
) -> None:
    r, _ = answer(
        serve,
        worker_class,
        'start_response("200 OK", [])\n'
        'return environ["wsgi.file_wrapper"](io.BytesIO(b"x" * 9000))',
        prelude="import io",
    )
    assert r.body == b"x" * 9000


def test_file_wrapper_closes_its_file_once(serve: Serve, worker_class: str) -> None:
    app = """
import io, pathlib
class File(io.BytesIO):
    def close(self):
        if not self.closed:
            with open("closed", "a") as f: f.write("x")
        super().close()

def app(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](File(b"data"))
"""
    server = serve(app, "-k", worker_class)
    closed = server.directory / "closed"
    closed.touch()
    for n in range(1, 4):
        assert server.get().body == b"data"
        poll(lambda n=n: closed.read_text() == "x" * n, "close()")


# Early hints


#: 70,000 numbered lines: the first bytes are written, the rest comes from a file.
FILE_BEHIND_WRITE = """
LINES = b"".join(b"%070d\\n" % n for n in range(70_000))
PIECES = {"small": 10, "large": 2_000_000}

def app(environ, start_response):
    piece, _, length = environ["PATH_INFO"][1:].partition("/")
    fields = {
        "": [],
        "exact": [("Content-Length", str(len(LINES)))],
        "short": [("Content-Length", str(len(LINES) - 1000))],
        "long": [("Content-Length", str(len(LINES) + 1))],
    }[length]
    at = PIECES[piece]
    write = start_response("200 OK", fields)
    write(LINES[:at])
    with open("lines", "wb") as f:
        f.write(LINES)
    f = open("lines", "rb")
    f.seek(at)
    return environ["wsgi.file_wrapper"](f)
"""
LINES = b"".join(b"%070d\n" % n for n in range(70_000))


@pytest.mark.parametrize("piece", ["small", "large"])
def test_a_file_follows_what_was_written(serve: Serve, worker_class: str, piece: str) -> None:
    server = serve(FILE_BEHIND_WRITE, "-k", worker_class)
    r = server.get(f"/{piece}")
    assert r.field("transfer-encoding") == "chunked" and r.body == LINES
    assert server.get(f"/{piece}/exact").body == LINES
    assert server.get(f"/{piece}/short").body == LINES[:-1000]
    with server.connect() as client:
        client.send_request("HEAD", f"/{piece}", "Connection: close")
        assert client.response("HEAD").status == 200
        assert client.rest() == b""
    with pytest.raises(EOFError, match=f"{len(LINES)} of {len(LINES) + 1}"):
        server.get(f"/{piece}/long")
    old = server.raw(f"GET /{piece} HTTP/1.0\r\n\r\n".encode())
    assert old.partition(b"\r\n\r\n")[2] == LINES
    assert "Traceback" not in server.log


@pytest.mark.parametrize("length", ["", "exact"])
def test_a_slow_reader_gets_a_file_behind_what_was_written(
    serve: Serve, worker_class: str, length: str
) -> None:
    server = serve(FILE_BEHIND_WRITE, "-k", worker_class)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        client = Client(sock)
        client.send_request("GET", f"/large/{length}")
        assert client.response().body == LINES
        client.close()


def test_early_hints_are_sent_before_the_answer(serve: Serve, worker_class: str) -> None:
    body = """
environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
start_response("200 OK", [])
return [b"x"]
"""
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    server = serve(f"def app(environ, start_response):\n{lines}", "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET")
        hint = client.head()
        assert (hint.status, hint.field("link")) == (103, "</style.css>; rel=preload")
        assert client.response().status == 200
