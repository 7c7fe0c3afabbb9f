# SPDX-License-Identifier: MIT
"""The error log and Python's loggers: who writes what, where, in which form."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server, listens_at, poll

Serve = Callable[..., Server]

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\]"

HELLO = """
import logging
def app(environ, start_response):
    logging.getLogger("gunicorn.error").warning("from %s", environ["PATH_INFO"])
    logging.getLogger("gunicorn.error").debug("not at this level")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_gunicorn_error_writes_lines_like_the_servers(serve: Serve, worker_class: str) -> None:
    server = serve(HELLO, "-k", worker_class, "--error-logfile", "error.log", wait=False)
    log = server.directory / "error.log"
    server.wait_listening_in(log)
    server.get("/a")
    assert re.search(rf"^{STAMP} \[WARNING\] from /a$", log.read_text(), re.M)
    assert "not at this level" not in log.read_text()
    assert server.log == ""


def test_flask_style_borrowing_of_handlers_works(serve: Serve) -> None:
    """The recipe of Flask's users: app.logger.handlers = gunicorn_logger.handlers."""
    server = serve("""
import logging
error_log = logging.getLogger("gunicorn.error")
mine = logging.getLogger("mine")
mine.handlers = error_log.handlers
mine.setLevel(error_log.level)
def app(environ, start_response):
    mine.info("borrowed")
    start_response("204 No Content", [])
    return []
""")
    server.get()
    server.wait_log(rf"(?m)^{STAMP} \[INFO\] borrowed$")


# Lines of the server that go through Python.

APP = """
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("in the app")
    start_response("200 OK", [("Content-Length", "2"), ("X-Out", "out")])
    return [b"ok"]
"""

DICT = """
logconfig_dict = {
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["errors"]},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"]},
    },
    "handlers": {
        "errors": {"class": "logging.FileHandler", "filename": "py-error", "formatter": "mine"},
        "access": {"class": "logging.FileHandler", "filename": "py-access", "formatter": "json"},
        "console": {"class": "logging.StreamHandler", "formatter": "mine"},
    },
    "formatters": {
        "mine": {"format": "mine %(levelname)s %(message)s"},
        "json": {"()": "forms.Form"},
    },
}
"""

FORMS = """
import json, logging
class Form(logging.Formatter):
    def format(self, record):
        a = record.args
        keys = ("h", "m", "U", "q", "s", "b", "D", "{x-in}i", "{x-out}o", "{http_x_in}e", "f")
        return json.dumps({"message": record.getMessage(), **{k: a[k] for k in keys}})
"""


def lines_of(server: Server, name: str, n: int) -> list[str]:
    """The first n lines or more of a file."""

    def look() -> list[str]:
        path = server.directory / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()
        return lines if len(lines) >= n else []

    return poll(look, f"{n} lines in {name}")  # type: ignore[return-value]


def test_logconfig_dict_gets_the_servers_lines_and_the_atoms(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(DICT)
    (tmp_path / "forms.py").write_text(FORMS)
    server = serve(APP, "-k", worker_class, wait=False)
    server.wait_listening_in(tmp_path / "py-error")
    server.get("/a?b=1", 'X-In: a\tb"')
    access = json.loads(lines_of(server, "py-access", 1)[0])
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[.*\] "GET /a\?b=1 HTTP/1\.1" 200 2 "-" "-"', access.pop("message")
    )
    assert isinstance(access.pop("D"), int)
    assert access == {
        "h": "127.0.0.1",
        "m": "GET",
        "U": "/a",
        "q": "b=1",
        "s": "200",
        "b": "2",
        "{x-in}i": 'a\\x09b\\"',
        "{x-out}o": "out",
        "{http_x_in}e": 'a\\x09b\\"',
        "f": "-",
    }
    server.get("/fail")
    server.stop()
    errors = (tmp_path / "py-error").read_text()
    assert re.search(r"^mine INFO Booting worker with pid: \d+$", errors, re.M)
    assert re.search(r"^mine ERROR Error handling request GET /fail", errors, re.M), errors
    assert "RuntimeError: in the app" in errors
    assert errors.count("Worker exiting") == 1
    assert "mine INFO Shutting down: Master" in errors.splitlines()
    assert server.log == ""


def test_lines_are_the_same_through_python_and_from_c(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    """A filter that lets all pass makes every line go through Python."""
    form = "|".join(f"%({a})s" for a in "hlurmUqHsBbfa") + "|%({x-in}i)s|%({aborted}x)s"
    lines = []
    for config in ("", FILTER):
        (tmp_path / "gunicorn.conf.py").write_text(config)
        args = ("-k", worker_class, "--access-logfile", "access", "--access-logformat", form)
        server = serve(APP, *args)
        server.get('/%00%e2"?a\xe4', 'X-In: "\\\t\xe4', "Authorization: Basic YSI6Yg==")
        lines.append(lines_of(server, "access", len(lines) + 1)[-1])
        server.stop()
    assert lines[0] == lines[1]


FILTER = """
import logging
class Pass(logging.Filter):
    def filter(self, record):
        return "/hidden" not in record.getMessage()
logging.getLogger("gunicorn.access").addFilter(Pass())
"""


def test_filter_on_gunicorn_access_is_heeded(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    """The recipe against access lines of health checks, in a configuration file or in the app."""
    for config, app in ((FILTER, APP), ("", FILTER + APP)):
        (tmp_path / "gunicorn.conf.py").write_text(config)
        server = serve(app, "-k", worker_class, "--access-logfile", "access")
        server.get("/hidden")
        server.get("/shown")
        assert "/shown" in lines_of(server, "access", 1)[0]
        server.stop()
        (tmp_path / "access").unlink()


def test_json_lines_go_through_python_unchanged(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text(FILTER)
    server = serve(APP, "--access-logfile", "access", "--access-logformat", "json")
    server.get('/%e2%82%ac"%00')
    assert json.loads(lines_of(server, "access", 1)[0])["path"] == '/€"\0'


INI = """
[loggers]
keys = root, error
[handlers]
keys = file
[formatters]
keys = mine
[logger_root]
handlers =
[logger_error]
qualname = gunicorn.error
level = INFO
propagate = 0
handlers = file
[handler_file]
class = FileHandler
args = ("%(here)s/py-error",)
formatter = mine
[formatter_mine]
format = mine %(levelname)s %(message)s
"""

JSON = """
{"loggers": {"gunicorn.error": {"level": "INFO", "handlers": ["file"]}},
 "handlers": {"file": {"class": "logging.FileHandler", "filename": "py-error", "formatter": "mine"},
              "console": {"class": "logging.StreamHandler"}},
 "formatters": {"mine": {"format": "mine %(levelname)s %(message)s"}}}
"""


@pytest.mark.parametrize(("flag", "text"), [("--log-config", INI), ("--log-config-json", JSON)])
def test_logging_configured_by_a_file(
    serve: Serve, worker_class: str, tmp_path: Path, flag: str, text: str
) -> None:
    (tmp_path / "logging.conf").write_text(text)
    server = serve(APP, "-k", worker_class, flag, str(tmp_path / "logging.conf"), wait=False)
    server.wait_listening_in(tmp_path / "py-error")
    server.get("/fail")
    server.stop()
    lines = (tmp_path / "py-error").read_text().splitlines()
    assert "mine ERROR Error handling request GET /fail" in lines
    assert "mine INFO Shutting down: Master" in lines


@pytest.mark.parametrize("name", ["simple", "gunicorn.glogging.Logger"])
def test_names_of_gunicorns_own_logger_change_nothing(serve: Serve, name: str) -> None:
    server = serve(APP, "--logger-class", name, "--access-logfile", "-")
    server.get("/x")
    server.wait_log(rf"(?m)^{STAMP} \[INFO\] Booting worker with pid: \d+$")
    server.wait_log(r'(?m)^127\.0\.0\.1 - - \[.*\] "GET /x HTTP/1\.1" 200 2 "-" "-"$')


def test_wrong_logging_settings_leave_the_old_ones_at_a_reload(
    serve: Serve, worker_class: str, tmp_path: Path
) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text("accesslog = 'access'\n")
    server = serve(APP, "-k", worker_class)
    config.write_text("accesslog = 'access'\nlogger_class = 'no.Such'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log(r"logger_class: 'no.Such' \(from gunicorn.conf.py:2\): it can't be found")
    server.wait_log("Reload failed, the old workers go on")
    server.get("/after")
    assert "/after" in lines_of(server, "access", 1)[0]
    assert server.stop() == 0


def test_application_files_are_reopened_by_usr1(serve: Serve, worker_class: str) -> None:
    server = serve(
        """
import logging
mine = logging.getLogger("mine")
mine.addHandler(logging.FileHandler("mine.log"))
def app(environ, start_response):
    mine.warning("%s", environ["PATH_INFO"])
    start_response("204 No Content", [])
    return []
""",
        *("-k", worker_class),
    )
    server.get("/one")
    log = server.directory / "mine.log"
    log.rename(server.directory / "mine.log.1")
    server.send_signal(signal.SIGUSR1)
    poll(log.exists, "the file is there again")
    server.get("/two")
    assert log.read_text() == "/two\n"
    assert (server.directory / "mine.log.1").read_text() == "/one\n"


def test_capture_output_sends_prints_to_the_error_log(serve: Serve, worker_class: str) -> None:
    app = """
import os, sys
def app(environ, start_response):
    print("printed", environ["PATH_INFO"], flush=True)
    os.system("echo from a child >&2")
    start_response("204 No Content", [])
    return []
"""
    server = serve(
        app, "-k", worker_class, "--capture-output", "--error-logfile", "error", wait=False
    )
    server.wait_listening_in(server.directory / "error")
    server.get("/one")
    (server.directory / "error").rename(server.directory / "old")
    server.send_signal(signal.SIGUSR1)
    poll((server.directory / "error").exists, "the file is there again")
    poll(lambda: server.get("/two") and "/two" in (server.directory / "error").read_text(), "two")
    assert "printed /one\nfrom a child\n" in (server.directory / "old").read_text()
    assert server.log == ""


# A log that takes no more, because its reader (a supervisor, a pager) has stopped reading.

STALLED_APP = """
import logging, os, sys, threading, time

def beat():
    while not os.path.exists("poke"):
        time.sleep(0.01)
    open("alive", "w").close()

threading.Thread(target=beat, daemon=True).start()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path in ("/log", "/raise"):
        open("entered", "w").close()
    if path == "/log":
        logging.getLogger("gunicorn.error").warning("a line that waits")
    if path == "/raise":
        raise RuntimeError("a traceback that waits")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


class Stalled:
    """A named pipe as a log file, and its reader."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._read = b""

    def fill(self) -> None:
        """Until it takes no more. What the server wrote before is read."""
        self.read()
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.fd, bytes(4096))

    def read(self) -> str:
        """All lines until now."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._read += os.read(self.fd, 65536)
        return self._read.replace(b"\0", b"").decode()


@pytest.fixture
def stalled(tmp_path: Path) -> Iterator[Stalled]:
    pipe = Stalled(tmp_path / "pipe")
    yield pipe
    os.close(pipe.fd)


def stall(serve: Serve, stalled: Stalled, *args: str, app: str = STALLED_APP) -> Server:
    server = serve(app, *args, wait=False, bind="unix:app.sock")
    server.connect = lambda: server.connect_unix("app.sock")  # type: ignore[method-assign]
    poll(lambda: listens_at(server.directory / "app.sock"), "listening")
    assert server.get("/").body == b"ok"
    stalled.fill()
    return server


@pytest.mark.parametrize("path", ["/log", "/raise"])
def test_python_goes_on_while_a_request_waits_for_the_log(
    serve: Serve, worker_class: str, stalled: Stalled, path: str
) -> None:
    server = stall(serve, stalled, "-k", worker_class, "--error-logfile", "pipe")
    with server.connect() as client:
        client.send_request("GET", path)
        poll((server.directory / "entered").exists, "it is in the application")
        (server.directory / "poke").touch()
        poll((server.directory / "alive").exists, "another thread runs")
        poll(lambda: "that waits" in stalled.read(), "the line is written")
        assert client.response().status == (200 if path == "/log" else 500)


def test_requests_of_other_threads_go_on_while_one_waits_for_the_log(
    serve: Serve, stalled: Stalled
) -> None:
    server = stall(serve, stalled, "--threads", "4", "--error-logfile", "pipe")
    with server.connect() as client:
        client.send_request("GET", "/log")
        poll((server.directory / "entered").exists, "it is in the application")
        for _ in range(20):
            assert server.get("/").body == b"ok"
        poll(lambda: "that waits" in stalled.read(), "the line is written")
        assert client.response().body == b"ok"


@pytest.mark.parametrize("threads", ["1", "4"])
def test_requests_go_on_while_the_access_log_takes_no_more(
    serve: Serve, stalled: Stalled, threads: str
) -> None:
    server = stall(
        serve, stalled, "-k", "gthread", "--threads", threads, "--access-logfile", "pipe"
    )
    for i in range(100):
        assert server.get(f"/{i}").body == b"ok"
    poll(lambda: stalled.read().count("GET /") == 101, "all lines are written, once")
    lines = re.findall(r"GET /(\d+) ", stalled.read())
    assert sorted(map(int, lines)) == list(range(100))


def test_interpreters_of_the_application_do_not_disturb_who_waits_for_the_log(
    serve: Serve, stalled: Stalled
) -> None:
    """Once there are several, Python's own question whether a thread has the lock is answered yes,
    by any thread."""
    pytest.importorskip("_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters")
    app = f"""{STALLED_APP}
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

interpreters.create()
"""
    server = stall(serve, stalled, "--threads", "2", "--access-logfile", "pipe", app=app)
    (worker,) = server.workers()
    refused_n = 1
    while is_refused(server):
        refused_n += 1
    poll(lambda: stalled.read().count(" 400 ") == refused_n, "all lines are written")
    assert server.get("/").body == b"ok"
    assert server.workers() == [worker]


def is_refused(server: Server) -> bool:
    """False when there is no answer, which takes a second."""
    with server.connect() as client:
        client.sock.settimeout(1)
        client.send(b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 4000))
        client.shut()
        try:
            return client.rest().startswith(b"HTTP/1.1 400")
        except TimeoutError:
            return False
