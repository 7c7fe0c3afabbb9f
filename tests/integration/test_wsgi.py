# SPDX-License-Identifier: MIT
"""PEP 3333, clause by clause, against the running server."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, poll

Serve = Callable[..., Server]

#: Answers with its environ as JSON; values that JSON does not know are shown by their type's name.
ECHO = """
import json

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    shown = {
        k: v if isinstance(v, (str, bool, int, tuple)) else type(v).__name__
        for k, v in environ.items()
    }
    shown["_types"] = {k: type(v).__name__ for k, v in environ.items()}
    shown["_body"] = body.decode("latin-1")
    data = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [data]
"""


@pytest.fixture
def echo(serve: Serve, worker_class: str) -> Server:
    return serve(ECHO, "-k", worker_class)


def environ_of(server: Server, *fields: str, target: str = "/", **kwargs: object) -> dict:
    with server.connect() as client:
        client.send_request("GET", target, *fields, **kwargs)  # type: ignore[arg-type]
        response = client.response()
    assert response.status == 200, server.log
    return json.loads(response.body)


# environ


def test_environ_has_the_keys_and_types_of_the_pep(echo: Server) -> None:
    env = environ_of(echo, target="/a/b?x=1&y=%20")
    assert env["REQUEST_METHOD"] == "GET"
    assert env["SCRIPT_NAME"] == ""
    assert env["PATH_INFO"] == "/a/b"
    assert env["QUERY_STRING"] == "x=1&y=%20"
    assert env["RAW_URI"] == "/a/b?x=1&y=%20"
    assert env["SERVER_NAME"] == "127.0.0.1"
    assert env["SERVER_PORT"] == str(echo.port)
    assert env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["SERVER_SOFTWARE"].startswith("cgunicorn/")
    assert env["REMOTE_ADDR"] == "127.0.0.1"
    assert env["REMOTE_PORT"].isdigit()
    assert env["HTTP_HOST"] == "test.example"
    assert env["wsgi.version"] == [1, 0]
    assert env["wsgi.url_scheme"] == "http"
    assert env["wsgi.run_once"] is False
    assert env["wsgi.multiprocess"] is False
    assert env["wsgi.input_terminated"] is True
    assert env["_types"]["wsgi.file_wrapper"] in ("type", "builtin_function_or_method")
    assert "CONTENT_LENGTH" not in env and "CONTENT_TYPE" not in env
    natives = [k for k in env["_types"] if k.isupper()]
    assert {env["_types"][k] for k in natives} == {"str"}


def test_environ_is_a_fresh_builtin_dict_each_time(serve: Serve, worker_class: str) -> None:
    server = serve(
        """
        def app(environ, start_response):
            seen = "leak" in environ
            environ["leak"] = True
            environ["wsgi.version"] = "changed"
            start_response("200 OK", [])
            return [f"{type(environ) is dict} {seen}".encode()]
        """.replace("\n        ", "\n"),
        "-k",
        worker_class,
    )
    assert [server.get().body for _ in range(3)] == [b"True False"] * 3


def test_multiprocess_is_told(serve: Serve) -> None:
    assert environ_of(serve(ECHO, "-w", "2"))["wsgi.multiprocess"] is True


def test_path_is_decoded_to_latin1_and_raw_uri_is_not(echo: Server) -> None:
    env = environ_of(echo, target="/caf%C3%A9/%2F/a%zz?q=%C3")
    assert env["PATH_INFO"] == "/caf\u00c3\u00a9///a%zz"
    assert env["RAW_URI"] == "/caf%C3%A9/%2F/a%zz?q=%C3"
    assert env["QUERY_STRING"] == "q=%C3"


def test_header_values_are_latin1_strings(echo: Server) -> None:
    assert environ_of(echo, "X-Name: caf\u00e9")["HTTP_X_NAME"] == "caf\u00e9"


def test_repeated_headers_are_joined(echo: Server) -> None:
    env = environ_of(echo, "X-A: 1", "Cookie: a=1", "x-a: 2", "Cookie: b=2")
    assert env["HTTP_X_A"] == "1,2"
    assert env["HTTP_COOKIE"] == "a=1; b=2"


def test_underscore_twins_do_not_get_through(echo: Server) -> None:
    env = environ_of(echo, "X_Real_IP: 6.6.6.6", "Content_Length: 3")
    assert "HTTP_X_REAL_IP" not in env
    assert "CONTENT_LENGTH" not in env


def test_cgi_variables_of_a_body_have_no_http_twins(echo: Server) -> None:
    env = environ_of(echo, "Content-Type: text/x", body=b"hello")
    assert (env["CONTENT_TYPE"], env["CONTENT_LENGTH"]) == ("text/x", "5")
    assert "HTTP_CONTENT_TYPE" not in env and "HTTP_CONTENT_LENGTH" not in env
    assert env["_body"] == "hello"


def test_unix_socket_environ(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, bind=["unix:app.sock", "127.0.0.1:0"])
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(server.directory / "app.sock"))
    with Client(sock) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: site.example:8080\r\n\r\n")
        env = json.loads(client.response().body)
    assert env["REMOTE_ADDR"] == "" and "REMOTE_PORT" not in env
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("site.example", "8080")


# wsgi.input

READS = """
import json

SCRIPTS = {
    "read": lambda i: [i.read()],
    "read-none": lambda i: [i.read(None), i.read()],
    "read-minus": lambda i: [i.read(-1), i.read(-1)],
    "read-sizes": lambda i: [i.read(0), i.read(2), i.read(3), i.read(1000), i.read(5)],
    "readline": lambda i: [i.readline(), i.readline(3), i.readline(-1), i.readline(), i.readline()],
    "readlines": lambda i: i.readlines(),
    "readlines-hint": lambda i: i.readlines(1),
    "iterate": lambda i: list(i),
    "mixed": lambda i: [i.read(1), i.readline(), next(i), i.read(), i.readline()],
    "nothing": lambda i: [],
}

def app(environ, start_response):
    got = SCRIPTS[environ["QUERY_STRING"]](environ["wsgi.input"])
    start_response("200 OK", [])
    return [json.dumps([part.decode() for part in got]).encode()]
"""
BODY = b"one\ntwo2\nthree"
EXPECTED = {
    "read": ["one\ntwo2\nthree"],
    "read-none": ["one\ntwo2\nthree", ""],
    "read-minus": ["one\ntwo2\nthree", ""],
    "read-sizes": ["", "on", "e\nt", "wo2\nthree", ""],
    "readline": ["one\n", "two", "2\n", "three", ""],
    "readlines": ["one\n", "two2\n", "three"],
    "readlines-hint": ["one\n"],
    "iterate": ["one\n", "two2\n", "three"],
    "mixed": ["o", "ne\n", "two2\n", "three", ""],
    "nothing": [],
}


@pytest.mark.parametrize("storage", ["memory", "file"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_input_in_all_its_reading_ways(
    serve: Serve, worker_class: str, framing: str, storage: str
) -> None:
    limit = "4" if storage == "file" else "100000"
    server = serve(READS, "-k", worker_class, "--client-body-buffer-size", limit)
    if framing == "length":
        rest = b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    else:
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (BODY[:5], BODY[5:6], BODY[6:]))
        rest = b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for script, expected in EXPECTED.items():
        with server.connect() as client:
            client.send(b"POST /?%b HTTP/1.1\r\nHost: a\r\n%b" % (script.encode(), rest))
            assert json.loads(client.response().body) == expected, script


def test_large_body_comes_through_whole(serve: Serve, worker_class: str) -> None:
    app = """
import hashlib
def app(environ, start_response):
    digest, n = hashlib.sha256(), 0
    while part := environ["wsgi.input"].read(70000):
        digest.update(part)
        n += len(part)
    start_response("200 OK", [])
    return [f"{n} {digest.hexdigest()}".encode()]
"""
    body = random.Random(1).randbytes(5_000_000)
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("POST", body=body)
        assert client.response().body == f"5000000 {hashlib.sha256(body).hexdigest()}".encode()


def test_input_kept_beyond_the_request_is_harmless(serve: Serve, worker_class: str) -> None:
    app = """
kept = []
def app(environ, start_response):
    for stream in kept:
        try:
            assert stream.read() == b""
        except ValueError:
            pass
    kept.append(environ["wsgi.input"])
    start_response("200 OK", [])
    return [b"ok"]
"""
    server = serve(app, "-k", worker_class)
    for _ in range(3):
        with server.connect() as client:
            client.send_request("POST", body=b"x" * 1000)
            assert client.response().body == b"ok", server.log


# start_response, the iterable and close()


def answer(serve: Serve, worker_class: str, body: str, method: str = "GET", prelude: str = ""):
    """Serves an application whose function body is given; returns response and server."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    server = serve(
        f"import sys\n{prelude}\ndef app(environ, start_response):\n{lines}\n", "-k", worker_class
    )
    with server.connect() as client:
        client.send_request(method)
        return client.response(method), server


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
    assert told in server.log


CLOSE = """
import json, pathlib
class Body:
    def __init__(self, parts): self.parts = iter(parts)
    def __iter__(self): return self
    def __next__(self):
        part = next(self.parts)
        if part is None: raise RuntimeError("stop")
        return part
    def close(self):
        with open("closed", "a") as f: f.write("x")

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/count":
        start_response("200 OK", [])
        p = pathlib.Path("closed")
        return [str(len(p.read_text()) if p.exists() else 0).encode()]
    if path != "/lazy":
        start_response("200 OK", [])
    return Body({
        "/all": [b"a", b"b"], "/empty": [], "/early": [None], "/late": [b"a", None],
        "/lazy": [b"a"], "/str": [b"a", "b"], "/long": [b"x" * 65536] * 1000,
    }[path])
"""


@pytest.mark.parametrize("path", ["all", "empty", "early", "late", "lazy", "str"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_exactly_once(
    serve: Serve, worker_class: str, path: str, method: str
) -> None:
    server = serve(CLOSE, "-k", worker_class)
    with server.connect() as client:
        client.send_request(method, f"/{path}")
        client.rest()
    assert server.get("/count").body == b"1"


def test_close_is_called_once_when_the_client_leaves(serve: Serve, worker_class: str) -> None:
    server = serve(CLOSE, "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET", "/long")
        client.head()
    assert server.get("/count").body == b"1"
    assert "Traceback" not in server.log


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
        client.send_request("HEAD", "/")
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


# The rest


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


def test_errors_stream_goes_to_the_error_log(serve: Serve, worker_class: str) -> None:
    _, server = answer(
        serve,
        worker_class,
        'e = environ["wsgi.errors"]\ne.write("said so\\n")\n'
        'e.writelines(["a", "b\\n"])\ne.flush()\n'
        'start_response("200 OK", [])\nreturn []',
    )
    server.wait_log("said so\nab\n")


def test_socket_is_reachable(serve: Serve, worker_class: str) -> None:
    r, _ = answer(
        serve,
        worker_class,
        'peer = environ["gunicorn.socket"].getpeername()\nstart_response("200 OK", [])\n'
        "return [f\"{peer[0]}:{peer[1]} {environ['REMOTE_PORT']}\".encode()]",
    )
    address, port = r.body.decode().split()
    assert address == f"127.0.0.1:{port}"


def test_client_disconnected_answers_truthfully(serve: Serve, worker_class: str) -> None:
    app = """
import pathlib, time
def app(environ, start_response):
    gone = environ["cgunicorn.client_disconnected"]
    before = gone()
    pathlib.Path("entered").touch()
    deadline = time.monotonic() + 20
    while not gone() and time.monotonic() < deadline:
        time.sleep(0.01)
    pathlib.Path("seen").write_text(f"{before} {gone()}")
    start_response("200 OK", [])
    return []
"""
    server = serve(app, "-k", worker_class)
    client = server.connect()
    client.send_request("GET")
    poll((server.directory / "entered").exists, "application entered")
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    poll((server.directory / "seen").exists, "application noticed")
    assert (server.directory / "seen").read_text() == "False True"


def test_wsgiref_validator_finds_nothing(serve: Serve, worker_class: str) -> None:
    app = """
from wsgiref.validate import validator

@validator
def app(environ, start_response):
    data = environ["wsgi.input"].read(100)
    environ["wsgi.errors"].write("")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"got ", data]
"""
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("POST", "/x?y=1", body=b"hello")
        assert client.response().body == b"got hello", server.log
    assert server.get().status == 200
    assert "AssertionError" not in server.log
