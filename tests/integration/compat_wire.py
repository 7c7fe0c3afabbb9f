# SPDX-License-Identifier: MIT
"""Scenarios over a connection: what the application is given, what the client gets of it, and what
is logged about both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from compat import Findings, Subject
from harness import Client, Server

WORKERS = {
    "sync": ("-k", "sync"),
    "gthread": ("-k", "gthread", "--threads", "2", "--keep-alive", "2"),
}

ENVIRON_APP = """
import json

PLAIN = (str, bool, int, float, tuple)

def shown(value):
    return repr(value) if isinstance(value, PLAIN) else "callable" if callable(value) else "object"

def app(environ, start_response):
    lines = [f"{k} {type(v).__name__ if isinstance(v, PLAIN) else ''} {shown(v)}"
             for k, v in sorted(environ.items())]
    lines.append(f"body {environ['wsgi.input'].read()!r}")
    body = json.dumps(lines).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

#: Requests whose environ is compared.
REQUESTS = {
    "query": b"GET /a/b?x=1&y=%20 HTTP/1.1\r\nHost: h.example:81\r\nUser-Agent: me\r\n\r\n",
    "body": b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: text/x\r\nContent-Length: 3\r\n\r\nabc",
    "chunked": b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n",
    "escapes": b"GET /%C3%A9%2Fb//c%20d?%C3%A9=%2F HTTP/1.1\r\nHost: h\r\n\r\n",
    "fragment": b"GET /a?b#c HTTP/1.1\r\nHost: h\r\n\r\n",
    "two slashes": b"GET //a/../b HTTP/1.1\r\nHost: h\r\n\r\n",
    "absolute form": b"GET http://other.example/a?b HTTP/1.1\r\nHost: h\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    "script name": b"GET /app/a HTTP/1.1\r\nHost: h\r\nSCRIPT_NAME: /app\r\n\r\n",
    "secure scheme": b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\n\r\n",
    "forwarded": b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4\r\nVia: a\r\n\r\n",
    "version 1.0": b"GET / HTTP/1.0\r\n\r\n",
    "repeated": b"GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-a: 2\r\nAccept: a\r\nAccept: b\r\n\r\n",
    "cookies": b"GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    "underscore": b"GET / HTTP/1.1\r\nHost: h\r\nX_A: 1\r\n\r\n",
    "high bytes": b"GET / HTTP/1.1\r\nHost: h\r\nX-A: \xc3\xa9\r\n\r\n",
}

#: One application for each kind of response: the path is the name of the function.
RESPONSE_APP = """
from wsgiref.util import FileWrapper
import sys

def length(e, start):
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"hi"]

def no_length(e, start):
    start("200 OK", [("X-A", "1"), ("x-b", "2")])
    return [b"hi"]

def parts(e, start):
    start("200 OK", [])
    return (part for part in [b"a", b"", b"bc"])

def nothing(e, start):
    start("200 OK", [])
    return []

def no_content(e, start):
    start("204 No Content", [])
    return []

def not_modified(e, start):
    start("304 Not Modified", [("ETag", "x"), ("Content-Length", "5")])
    return []

def written(e, start):
    write = start("201 Created", [])
    write(b"a")
    return [b"b"]

def own_fields(e, start):
    start("200 OK", [("Server", "mine"), ("Date", "now"), ("Content-Length", "0")])
    return []

def says_close(e, start):
    start("200 OK", [("Connection", "close"), ("Content-Length", "0")])
    return []

def cookies(e, start):
    start("200 OK", [("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Content-Length", "0")])
    return []

def latin(e, start):
    start("200 OK", [("X-A", "\\xe9"), ("Content-Length", "0")])
    return []

def no_reason(e, start):
    start("299 ", [("Content-Length", "0")])
    return []

def too_much(e, start):
    start("200 OK", [("Content-Length", "2")])
    return [b"abcd"]

def too_little(e, start):
    start("200 OK", [("Content-Length", "4")])
    return [b"ab"]

def file(e, start):
    start("200 OK", [("Content-Length", "3")])
    handle = open("file", "rb")
    return e["wsgi.file_wrapper"](handle)

def file_no_length(e, start):
    start("200 OK", [])
    return e["wsgi.file_wrapper"](open("file", "rb"), 2)

def hints(e, start):
    e["wsgi.early_hints"]([("Link", "</a>")])
    return length(e, start)

def hints_in_bytes(e, start):
    e["wsgi.early_hints"]([[b"Link", b"</a>"]])
    return length(e, start)

def hints_too_late(e, start):
    start("200 OK", [("Content-Length", "2")])(b"a")
    e["wsgi.early_hints"]([("Link", "</a>")])
    return [b"b"]

def named(e, start):
    start(headers=[["X-A", "1"], ("Content-Length", "0")], exc_info=None, status="200 OK")
    return []

def corrected(e, start):
    try:
        start(200, [("X-A", "1")])
    except TypeError:
        start("200 OK", ((name, "0") for name in ["Content-Length"]))
    return []

def written_file(e, start):
    start("200 OK", [("Content-Length", "4")])(b"a")
    return e["wsgi.file_wrapper"](open("file", "rb"))

def replaced(e, start):
    start("200 OK", [("X-A", "1")])
    try:
        1 / 0
    except ZeroDivisionError:
        start("500 Mine", [("Content-Length", "0")], sys.exc_info())
    return []

# Mistakes.

def hop_by_hop(e, start):
    start("200 OK", [("Keep-Alive", "1"), ("Content-Length", "0")])
    return []

def raises(e, start):
    raise KeyError("mine")

def raises_late(e, start):
    start("200 OK", [])
    yield b"a"
    raise KeyError("mine")

def not_started(e, start):
    return [b"a"]

def started_twice(e, start):
    start("200 OK", [])
    start("200 OK", [])

def no_bytes(e, start):
    start("200 OK", [])
    return ["a"]

def two_statuses(e, start):
    start("200 OK\\r\\nX-Evil: 1", [])
    return []

def bad_name(e, start):
    start("200 OK", [("X A", "1")])
    return []

def bad_value(e, start):
    start("200 OK", [("X-A", "1\\r\\nX-Evil: 1")])
    return []

def exits(e, start):
    sys.exit(1)

def app(environ, start_response):
    environ["wsgi.input"].read()
    return globals()[environ["PATH_INFO"][1:]](environ, start_response)
"""
PATHS, MISTAKES = (
    re.findall(r"(?m)^def (\w+)\(e,", part) for part in RESPONSE_APP.split("# Mistakes.")
)
#: A mistake is told in one way, whatever the request was.
WAYS = {"GET 1.1": [*PATHS, *MISTAKES], "HEAD 1.1": PATHS, "GET 1.0": PATHS}

#: Every atom; those of time are only a form.
ATOMS = (
    *("h", "l", "u", "t", "r", "m", "U", "q", "H", "s", "st", "B", "b", "f", "a", "T", "D", "M"),
    *("L", "p", "{Host}i", "{x-a}i", "{X-None}i", "{Content-Length}o", "{x-none}o"),
    *("{REMOTE_ADDR}e", "{None}e", "zz"),
)
ACCESS_FORMAT = "access" + "".join(f"\t{a} = %({a})s" for a in ATOMS) + "\t%%"
LOGGED = {
    "plain": b'GET /length?a=b HTTP/1.1\r\nHost: h\r\nReferer: r\r\nUser-Agent: u"v\r\n\r\n',
    "user": b"GET /length HTTP/1.1\r\nHost: h\r\nAuthorization: Basic bWU6cA==\r\nX-A: 1\r\n\r\n",
    "wrong user": b"GET /length HTTP/1.1\r\nHost: h\r\nAuthorization: Basic ???\r\n\r\n",
    "escapes": b'GET /no_length?%22%0a"\\ HTTP/1.0\r\nHost: h\r\n\r\n',
    "no body": b"HEAD /no_content HTTP/1.1\r\nHost: h\r\n\r\n",
    "parts": b"GET /parts HTTP/1.1\r\nHost: h\r\n\r\n",
    "file": b"GET /file HTTP/1.1\r\nHost: h\r\n\r\n",
    "body": b"POST /length HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
    "exception": b"GET /raises HTTP/1.1\r\nHost: h\r\n\r\n",
    "late exception": b"GET /raises_late HTTP/1.1\r\nHost: h\r\n\r\n",
    "not started": b"GET /not_started HTTP/1.1\r\nHost: h\r\n\r\n",
    "started twice": b"GET /started_twice HTTP/1.1\r\nHost: h\r\n\r\n",
    "text as body": b"GET /no_bytes HTTP/1.1\r\nHost: h\r\n\r\n",
    "bad header": b"GET /bad_value HTTP/1.1\r\nHost: h\r\n\r\n",
    "exit": b"GET /exits HTTP/1.1\r\nHost: h\r\n\r\n",
    "bad request": b"GET / HTTP/9.9\r\n\r\n",
    "bad field": b"GET / HTTP/1.1\r\nHost: h\r\nA B: 1\r\n\r\n",
    "nothing": b"",
    "half": b"GET / HT",
}


def environ(subject: Subject) -> Findings:
    found = {}
    for worker in WORKERS:
        server = subject.serve(ENVIRON_APP, *WORKERS[worker], bind=["127.0.0.1:0", "unix:a.sock"])
        for transport in ("tcp", "unix"):
            for name, data in REQUESTS.items():
                found[f"{worker} {transport} {name}"] = asked(subject, server, transport, data)
        server.stop()
    return found


def asked(subject: Subject, server: Server, transport: str, data: bytes) -> list[str]:
    with server.connect_unix("a.sock") if transport == "unix" else server.connect() as client:
        name = client.sock.getsockname()
        client.send(data)
        answer = client.response()
    if answer.status != 200:
        return [f"{answer.status} {answer.reason}"]
    lines = "\n".join(json.loads(answer.body))
    if transport == "tcp":
        lines = lines.replace(f"'{name[1]}'", "CLIENT PORT")
    return subject.plain(lines.replace(f"'{server.port}'", "SERVER PORT"))


def responses(subject: Subject) -> Findings:
    (subject.folder / "file").write_bytes(b"abc")
    found = {}
    for worker, args in WORKERS.items():
        server = subject.serve(RESPONSE_APP, *args)
        for way, paths in WAYS.items():
            for path in paths:
                method, version = way.split()
                with server.connect() as client:
                    client.send(f"{method} /{path} HTTP/{version}\r\nHost: h\r\n\r\n".encode())
                    lines = received(client, method)
                    found[f"{worker} {way} {path}"] = subject.plain("\n".join(lines))
        server.stop()
    return found


def received(client: Client, method: str) -> Iterator[str]:
    """The response, its fields in no order, and whether the connection goes on."""
    try:
        answer = client.response(method)
        while answer.status < 200:
            yield f"{answer.status} {answer.reason} {answer.fields}"
            answer = client.response(method)
    except (EOFError, AssertionError, ValueError) as e:
        yield type(e).__name__
        return
    yield f"{answer.version} {answer.status} {answer.reason}"
    for name, value in sorted(answer.fields):
        dated = re.sub(r"^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$", "DATE", value)
        yield f"{name}: {dated}"
    yield f"body {answer.body!r}" if answer.chunks is None else f"chunks {answer.chunks}"
    client.shut()
    yield f"then {client.rest()!r}"


def access_log(subject: Subject) -> Findings:
    """What is logged of a request, in both logs: they are one file here."""
    (subject.folder / "file").write_bytes(b"abc")
    found = {}
    args = ("--access-logfile", "-", "--access-logformat", ACCESS_FORMAT)
    server = subject.serve(RESPONSE_APP, *args)
    server.get("/length")
    server.wait_log("access\t")
    for name, data in LOGGED.items():
        begin = len(server.log)
        with server.connect() as client:
            client.send(data)
            client.shut()
            client.rest()
        server.get("/length", f"X-A: end of {name}")
        server.wait_log(f"end of {re.escape(name)}")
        told = server.log[begin:].split("\n")
        found[name] = log_lines(subject, [t for t in told if "end of " not in t])
    return found


def log_lines(subject: Subject, lines: list[str]) -> list[str]:
    """Log lines without times and process ids."""
    text = "\n".join(lines) + "\n"
    text = re.sub(r"(?m)^\[[^]]* \+\d{4}\] \[\d+\] ", "", text)
    text = re.sub(r"\[\d\d/\w{3}/\d{4}:[\d:]{8} \+0000\]", "[TIME]", text)
    text = re.sub(r"\b([DM]) = \d+", r"\1 = N", text)
    text = re.sub(r"\bL = \d+\.\d{6}", "L = N", text)
    return subject.plain(re.sub(r"p = <\d+>", "p = <PID>", text).replace("\t", "\n"))
