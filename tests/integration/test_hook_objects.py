# SPDX-License-Identifier: MIT
"""What server hooks get, and what becomes of their changes to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server
from story import APP, Story, hooks, recorded

Serve = Callable[..., Server]

ATTRIBUTES = """
def when_ready(server):
    _note("server", server.pid == os.getpid(), server.num_workers, server.WORKERS,
          [str(l) for l in server.LISTENERS][0].startswith("http://127.0.0.1:"),
          server.LISTENERS[0].getsockname()[0], server.LISTENERS[0].fileno() > 2,
          server.address, server.timeout, server.worker_age, server.master_name,
          server.master_pid, server.reexec_pid, server.systemd, server.pidfile,
          sorted(map(str, server.START_CTX)), server.cfg.workers, server.app.app_uri)
    server.log.info("said by %s", "server.log")

def pre_fork(server, worker):
    _note("booting", str(worker), worker.ppid == os.getpid(), worker.alive, worker.nr,
          worker.booted, worker.aborted, worker.reloader, worker.timeout)

def post_worker_init(worker):
    _note("worker", str(worker) == f"<Worker {os.getpid()}>", worker.ppid == _master, worker.age,
          worker.max_requests, callable(worker.wsgi), worker.cfg.workers, len(worker.sockets),
          worker.app.wsgi() is worker.wsgi, worker.alive)
    worker.log.warning("said by worker.log")
    before = worker.tmp.last_update()
    worker.tmp.notify()
    _note("tmp", worker.tmp.last_update() >= before > 0)

def pre_request(worker, req):
    req.mine = "kept"
    _note("req", req.method, req.uri, req.path, req.query, req.fragment, req.version,
          req.scheme, req.req_number, req.proxy_protocol_info, worker.nr)
    _note("headers", sorted(req.headers))
    _note("addresses", req.peer_addr[0], req.remote_addr == req.peer_addr, req.should_close(),
          req.unreader.sock.fileno() > 0, hasattr(req, "nonsense"))

def post_request(worker, req, environ, resp):
    _note("resp", resp.status, resp.status_code, resp.headers, resp.sent, resp.response_length,
          resp.headers_sent, resp.chunked, worker.nr, req.mine, environ.get("app.seen"))
    _note("trailers", req.trailers, req.body.read())
"""


def test_objects_have_the_attributes_of_gunicorns(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path, ATTRIBUTES)
    server = serve(APP, "-k", worker_class, "--timeout", "20", "--max-requests", "7")
    with server.connect() as client:
        for _ in range(2):
            client.send_request("GET", "/a%20b?c=d", "X-Trace: t1")
            response = client.response()
            assert response.status == 200
            if worker_class == "sync":
                break
    story.wait("trailers")
    assert server.stop() == 0
    said = {}
    for row in story:
        said.setdefault(row[0], row)
    assert said["server"][2:] == (
        *(True, 1, {}, True, "127.0.0.1", True, [("127.0.0.1", 0)], 20, 0, "Master", 0, 0),
        *(False, None, ["0", "args", "cwd"], 1, "app:app"),
    )
    assert said["booting"][2:] == ("<Worker [booting]>", True, True, 0, False, False, None, 10.0)
    assert said["worker"][1:] == ("W", True, True, 1, 7, True, 1, 1, True, True)
    assert said["tmp"][2:] == (True,)
    assert said["req"][2:-1] == (
        *("GET", "/a%20b?c=d", "/a%20b", "c=d", "", (1, 1), "http", 1, None),
    )
    assert said["req"][-1] == 0
    assert said["headers"][2] == [("HOST", "test.example"), ("X-TRACE", "t1")]
    assert said["addresses"][2:] == ("127.0.0.1", True, False, True, False)
    assert said["resp"][2:] == (
        *("200 OK", 200, [("X-App", "1")], 5, 5, True, False, 1, "kept", True),
    )
    if worker_class != "sync":
        numbers = [row[9] for row in story if row[0] == "req"]
        assert numbers == [1, 2]
    assert re.search(r"\[\d+\] \[INFO\] said by server.log", server.log)
    assert re.search(r"\[\d+\] \[WARNING\] said by worker.log", server.log)


def test_a_body_and_its_trailers_can_be_read(serve: Serve, story: Story, tmp_path: Path) -> None:
    recorded(
        tmp_path,
        "def pre_request(worker, req): _note('trailers', req.trailers, req.body.read())",
    )
    server = serve(APP)
    body = b"5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n"
    server.raw(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    story.wait("trailers")
    assert ("trailers", "W", [("X-SUM", "42")], b"hello") in list(story)


ECHO = """
KEYS = ("REQUEST_METHOD", "RAW_URI", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "wsgi.url_scheme")
def app(environ, start_response):
    start_response("200 OK", [])
    seen = {k: v for k, v in environ.items() if k in KEYS or k.startswith(("HTTP_", "CONTENT_"))}
    return [repr((seen, environ["wsgi.input"].read())).encode()]
"""

CHANGES = """
def pre_request(worker, req):
    if req.path == "/prefix/same":
        req.headers, req.method, req.uri, req.query, req.scheme
    if req.path == "/prefix/other":
        req.method, req.uri, req.path = "PUT", "/x", "/prefix/caf%C3%A9"
        req.query, req.scheme = "a=b", "https"
        req.headers.remove(("X-GONE", "1"))
        req.headers.append(("X-New", "2"))
        req.headers += [("COOKIE", "b=2"), ("X-NEW", "3"), ("CONTENT-TYPE", "b/b")]
        req.headers += [("CONTENT-LENGTH", "99")]
    if req.path == "/prefix/outside":
        req.path = "/elsewhere"
"""


def test_what_pre_request_changes_reaches_the_environ(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    hooks(tmp_path, CHANGES)
    server = serve(ECHO, "-k", worker_class, env={"SCRIPT_NAME": "/prefix"})

    def ask(path: str) -> tuple[dict[str, str], bytes]:
        sent = f"POST {path} HTTP/1.1\r\nHost: a\r\nX-Gone: 1\r\nCookie: a=1\r\nX-Stays: 1\r\n"
        answer = server.raw(f"{sent}Content-Length: 2\r\nConnection: close\r\n\r\nhi".encode())
        return ast.literal_eval(answer.partition(b"\r\n\r\n")[2].decode())

    fixed = {"CONTENT_LENGTH": "2", "SCRIPT_NAME": "/prefix", "HTTP_HOST": "a", "HTTP_X_STAYS": "1"}
    fixed["HTTP_CONNECTION"] = "close"
    changed = {"REQUEST_METHOD": "PUT", "RAW_URI": "/x", "PATH_INFO": "/caf\xc3\xa9"}
    changed.update({"QUERY_STRING": "a=b", "wsgi.url_scheme": "https", "CONTENT_TYPE": "b/b"})
    changed.update({"HTTP_COOKIE": "a=1; b=2", "HTTP_X_NEW": "2,3"})
    assert ask("/prefix/other") == ({**fixed, **changed}, b"hi")
    same, _ = ask("/prefix/same")
    assert same["PATH_INFO"] == "/same" and same["HTTP_COOKIE"] == "a=1"
    assert b" 500 " in server.raw(b"GET /prefix/outside HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_log("ValueError: Request path '/elsewhere' does not start with SCRIPT_NAME")


def test_messages_that_are_kept_can_be_read_afterwards(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(
        tmp_path,
        "kept = []",
        "def post_request(worker, req, environ, resp): kept.append((req, environ, resp))",
        "def worker_exit(server, worker):",
        "    for req, environ, resp in kept:",
        "        _note('kept', req.path, req.headers[0][0], environ['PATH_INFO'], resp.status)",
    )
    server = serve(APP, "-k", worker_class)
    for path in ("/a", "/b"):
        server.get(path)
    assert server.stop() == 0
    assert sorted(row[2:] for row in story if row[0] == "kept") == [
        ("/a", "HOST", "/a", "200 OK"),
        ("/b", "HOST", "/b", "200 OK"),
    ]


@pytest.mark.parametrize("parameters", ["worker, req", "worker, req, environ", "*args"])
def test_post_request_gets_as_much_as_it_takes(
    serve: Serve, story: Story, tmp_path: Path, parameters: str
) -> None:
    count = "len(args)" if parameters == "*args" else str(len(parameters.split(",")))
    last = {"2": "req.path", "3": "environ['app.seen']"}.get(count, "args[2]['app.seen']")
    recorded(tmp_path, f"def post_request({parameters}): _note('post_request', {count}, {last})")
    server = serve(APP)
    server.get("/x")
    story.wait("post_request")
    wanted = {"2": (2, "/x"), "3": (3, True)}.get(count, (4, True))
    assert [row[2:] for row in story if row[0] == "post_request"] == [wanted]


def test_post_request_comes_after_close_and_also_after_a_failure(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path, "import builtins; builtins.note = _note")
    app = (
        "class Body:\n    def __iter__(self): return iter([b'a', b'b'])\n"
        "    def close(self): note('close')\n"
        "def app(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/fail': raise RuntimeError('expected')\n"
        "    start_response('200 OK', [])\n    return Body()\n"
    )
    server = serve(app, "-k", worker_class)
    assert server.get("/").body == b"ab"
    story.wait("post_request")  # it runs when the answer has gone
    assert server.get("/fail").status == 500
    story.wait("post_request", 2)
    rows = [row for row in story if row[0] in ("close", "post_request")]
    assert [row[0] for row in rows] == ["close", "post_request", "post_request"]
    assert rows[2][3] == "500 Internal Server Error"


def test_a_context_variable_set_before_the_request_is_seen_in_it(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    hooks(
        tmp_path,
        "import app\ndef pre_request(worker, req): app.var.set(app.var.get() + req.path)\n",
    )
    app = (
        "import contextvars\nvar = contextvars.ContextVar('var', default='>')\n"
        "def app(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [var.get().encode()]\n"
    )
    server = serve(app, "-k", worker_class)
    assert [server.get(p).body for p in ("/a", "/b")] == [b">/a", b">/b"]
