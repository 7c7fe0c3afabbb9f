# SPDX-License-Identifier: MIT
"""logger_class: classes of the user's, what they are called with, and where they come from."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import SHORT_TIMEOUT, Server, poll, run_command
from test_logging import APP, lines_of

Serve = Callable[..., Server]

CLASS = """
from cgunicorn import glogging
class Mine(glogging.Logger):
    error_fmt = "mine: %(message)s"
    def setup(self, cfg):
        super().setup(cfg)
        self.info("set up with %s", cfg.loglevel)
    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["Z"] = "%s %s %s" % (req.method, resp.status, dict(resp.headers)["X-Out"])
        return atoms
    def access(self, resp, req, environ, request_time):
        if req.path != "/hidden":
            super().access(resp, req, environ, request_time)
"""

BARE = """
class Bare:
    def __init__(self, cfg):
        self.cfg = cfg
        import logging
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
    def write(self, *words):
        with open("bare", "a") as file:
            print(*words, file=file)
    access_log_enabled = True
    def critical(self, msg, *args, **kwargs): self.write("critical", msg % args)
    def error(self, msg, *args, **kwargs): self.write("error", msg)
    def warning(self, msg, *args, **kwargs): self.write("warning", msg)
    def info(self, msg, *args, **kwargs): self.write("info", msg)
    def debug(self, msg, *args, **kwargs): self.write("debug", msg)
    def exception(self, msg, *args, **kwargs): self.write("exception", msg)
    def log(self, lvl, msg, *args, **kwargs): self.write("log", msg)
    def access(self, resp, req, environ, request_time):
        self.write("access", resp.status, environ["PATH_INFO"], request_time.total_seconds() < 60)
    def reopen_files(self): self.write("reopened")
    def close_on_exec(self): pass
"""


def test_logger_class_that_extends_logger(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    (tmp_path / "loggers.py").write_text(CLASS)
    server = serve(
        APP,
        *("-k", worker_class, "--logger-class", "loggers.Mine", "--access-logfile", "access"),
        *("--access-logformat", "%(m)s %(U)s %(Z)s"),
    )
    server.get("/hidden")
    server.get("/shown")
    assert lines_of(server, "access", 1) == ["GET /shown GET 200 OK out"]
    assert "mine: set up with info\n" in server.log
    assert re.search(r"^mine: Booting worker", server.log, re.M)
    assert "[INFO]" not in server.log


def test_logger_class_of_its_own(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    (tmp_path / "loggers.py").write_text(BARE)
    (tmp_path / "gunicorn.conf.py").write_text("from loggers import Bare as logger_class\n")
    server = serve(APP, "-k", worker_class, wait=False)
    server.wait_listening_in(tmp_path / "bare")
    server.get("/x")
    poll(lambda: "access 200 OK /x True" in lines_of(server, "bare", 1), "the access line")
    server.send_signal(signal.SIGUSR1)
    poll(lambda: lines_of(server, "bare", 1).count("reopened") == 2, "both have reopened")
    server.stop()
    assert lines_of(server, "bare", 1)[-1] == "info Shutting down: Master"


def install(folder: Path, **entry_points: str) -> None:
    """A distribution named shop, in a folder of the import path, as pip leaves it."""
    info = folder / "shop-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    offered = "".join(f"{name} = {what}\n" for name, what in entry_points.items())
    (info / "entry_points.txt").write_text(f"[gunicorn.loggers]\n{offered}")
    (folder / "shop_loggers.py").write_text(CLASS)


def test_logger_class_of_a_distribution(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    install(tmp_path / "lib", mine="shop_loggers:Mine")
    server = serve(
        APP,
        *("-k", worker_class, "--logger-class", "egg:shop#mine", "--access-logfile", "access"),
        env={"PYTHONPATH": str(tmp_path / "lib")},
    )
    server.get("/hidden")
    server.get("/shown")
    assert len(lines_of(server, "access", 1)) == 1
    assert re.search(r"^mine: Booting worker", server.log, re.M)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("egg:shop#theirs", "shop has no entry point 'theirs' in gunicorn.loggers."),
        ("egg:shop", "shop has no entry point '' in gunicorn.loggers."),
        ("egg:#mine", "no distribution '' is installed."),
        ("egg:nowhere#mine", "no distribution 'nowhere' is installed."),
        ("egg:shop#gone", "module 'shop_loggers' has no attribute 'Gone'."),
    ],
)
def test_logger_class_that_no_distribution_has(tmp_path: Path, name: str, why: str) -> None:
    install(tmp_path / "lib", mine="shop_loggers:Mine", gone="shop_loggers:Gone")
    (tmp_path / "app.py").write_text(APP)
    env = {"PYTHONPATH": str(tmp_path / "lib")}
    done = run_command(tmp_path, "--logger-class", name, "app:app", "--check-config", env=env)
    assert (done.returncode, done.stderr) == (
        1,
        f"Error: Invalid value for logger_class: {name!r} (from the command line, --logger-class):"
        f" it can't be found: {why}\n",
    )


TELLER = """
import json
class Teller:
    access_log_enabled = True
    def __init__(self, cfg): pass
    def critical(self, msg, *args, **kwargs):
        with open("errors", "a") as file:
            print(msg, file=file)
    error = warning = info = debug = exception = log = critical
    def reopen_files(self): pass
    def access(self, resp, req, environ, request_time):
        told = {
            "mine": environ.get("mine"), "user": environ.get("user", {}).get("name"),
            "url_scheme": environ.get("wsgi.url_scheme"), "path": environ["PATH_INFO"],
            "status": resp.status, "code": resp.status_code, "headers": resp.headers,
            "sent": resp.sent, "length": resp.response_length, "uri": req.uri,
            "class": type(req).__name__ + " " + type(resp).__name__,
            "number": getattr(req, "req_number", None), "took": request_time.total_seconds() < 60,
        }
        with open("told", "a") as file:
            print(json.dumps(told), file=file)
"""

TOLD_APP = """
import threading, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    environ["mine"] = path[1:]
    environ["user"] = {"name": "Zoë"}
    if path == "/fail":
        raise RuntimeError("in the app")
    if path == "/stuck":
        time.sleep(600)
    start_response("207 All Of It", [("X-Out", "out"), ("Content-Length", "5")])
    return body(environ) if path == "/later" else [b"hello"]
def body(environ):
    yield b"hel"
    environ["mine"] = "set late"
    yield b"lo"
"""


def told(server: Server, n: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(server, "told", n)]


def serve_told(serve: Serve, folder: Path, *args: str, app: str = TOLD_APP) -> Server:
    (folder / "loggers.py").write_text(TELLER)
    server = serve(app, *args, "--logger-class", "loggers.Teller", wait=False)
    server.wait_listening_in(folder / "errors")
    return server


ENGINES = [("-k", "sync"), ("-k", "async"), ("-k", "async", "--threads", "4")]
engines = pytest.mark.parametrize("args", ENGINES, ids=["sync", "async-1", "async-4"])


@engines
def test_access_is_told_of_the_exchange_itself(
    serve: Serve, args: tuple[str, ...], tmp_path: Path
) -> None:
    """What the application put into its environ is what people log."""
    server = serve_told(serve, tmp_path, *args)
    for i, path in enumerate(["/a?b=1", "/later"]):
        server.get(path)
        line = told(server, i + 1)[i]
        assert line == {
            "mine": "a" if i == 0 else "set late",
            "user": "Zoë",
            "url_scheme": "http",
            "path": path.partition("?")[0],
            "status": "207 All Of It",
            "code": 207,
            "headers": [["X-Out", "out"], ["Content-Length", "5"]],
            "sent": 5,
            "length": 5,
            "uri": path,
            "class": "Request Response",
            "number": 1,
            "took": True,
        }


@engines
def test_access_is_told_of_calls_that_failed(
    serve: Serve, args: tuple[str, ...], tmp_path: Path
) -> None:
    server = serve_told(serve, tmp_path, *args)
    server.get("/fail")
    (line,) = told(server, 1)
    assert (line["mine"], line["status"]) == ("fail", "500 Internal Server Error")


@engines
def test_access_is_told_of_requests_that_were_refused(
    serve: Serve, args: tuple[str, ...], tmp_path: Path
) -> None:
    """They get nothing of the request before them, on the same connection or on another one."""
    server = serve_told(serve, tmp_path, *args, "--keep-alive", "5")
    with server.connect() as client:
        client.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().status == 207
        client.send(b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n")
        refused = client.response().status
    first, second = told(server, 2)
    assert (first["mine"], second["mine"], second["path"]) == ("a", None, "/refused")
    assert (second["status"], second["class"]) == (str(refused), "LoggedRequest LoggedResponse")


@pytest.mark.parametrize("threads", ["1", "4"])
def test_access_is_told_of_calls_that_were_given_up(
    serve: Serve, tmp_path: Path, threads: str
) -> None:
    """The environ is the stuck thread's: nobody else reads it."""
    flags = ("-k", "async", "--threads", threads, *SHORT_TIMEOUT, "--graceful-timeout", "1")
    server = serve_told(serve, tmp_path, *flags)
    assert server.get("/stuck").status == 504
    (line,) = told(server, 1)
    assert (line["mine"], line["path"], line["status"]) == (None, "/stuck", "504")
    assert server.get("/a").status == 207
    poll(lambda: told(server, 2)[1]["mine"] == "a", "a line of the next worker")


@engines
def test_access_is_told_of_clients_that_left(
    serve: Serve, args: tuple[str, ...], tmp_path: Path
) -> None:
    app = """
def app(environ, start_response):
    environ["mine"] = "left"
    start_response("200 OK", [])
    while True:
        yield b"x" * 100_000
"""
    server = serve_told(serve, tmp_path, *args, app=app)
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.sock.recv(1000)
    (line,) = told(server, 1)
    assert (line["mine"], line["status"], line["code"]) == ("left", "499", 499)


def test_a_logger_that_starts_a_process_of_its_own_holds_up_no_reload(
    serve: Serve, tmp_path: Path
) -> None:
    """It has a copy of whatever the one that tries the logger has open."""
    (tmp_path / "loggers.py").write_text("""
import os, time
from pathlib import Path
from cgunicorn.glogging import Logger

class Forking(Logger):
    def __init__(self, cfg):
        super().__init__(cfg)
        if Path("again").exists() and os.fork() == 0:
            while not Path("go").exists():
                time.sleep(0.01)
            os._exit(0)
""")
    server = serve(APP, "--logger-class", "loggers.Forking")
    try:
        (tmp_path / "again").touch()
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: the new workers are ready")
    finally:
        (tmp_path / "go").touch()
