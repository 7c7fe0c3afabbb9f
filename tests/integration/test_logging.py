# SPDX-License-Identifier: MIT
"""The error log and Python's loggers: who writes what, where, in which form."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import PATIENCE, Server, poll, run_command

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
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
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
    flags = ("-k", "async", "--threads", threads, "--timeout", "1", "--graceful-timeout", "1")
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


#: Settings of a config file that can't be used, and what is said of them.
USELESS = {
    "class-missing": ("logger_class = 'nowhere.Mine'", "it can't be found: No module named "),
    "class-not-in-module": ("logger_class = 'app.Mine'", "it can't be found: no Mine in app."),
    "class-is-none": ("logger_class = 'app.__name__'", "it is no class."),
    "class-raises": (
        "logger_class = 'app.Raises'",
        "it can't be used: RuntimeError: no such luck.",
    ),
    "ini-missing": ("logconfig = 'none.ini'", "log config 'none.ini' not found."),
    "ini-is-none": ("logconfig = 'app.py'", "it can't be used: "),
    "ini-incomplete": ("logconfig = 'bad.ini'", "it can't be used: 'formatters' is missing."),
    "json-missing": ("logconfig_json = 'none.json'", "it can't be read: No such file"),
    "json-is-none": ("logconfig_json = 'app.py'", "it is not JSON: "),
    "json-wrong": ("logconfig_json = 'bad.json'", "it can't be used: "),
    "dict-wrong": (
        "logconfig_dict = {'handlers': {'console': {'class': 'no.Such'}}}",
        "it can't be used: Unable to configure handler 'console': ",
    ),
    "dict-file": (
        "logconfig_dict = {'handlers': {'console': {'class': 'logging.FileHandler',"
        " 'filename': 'no/where'}}}",
        "it can't be used: Unable to configure handler 'console': ",
    ),
    "dict-is-none": ("logconfig_dict = 'x'", "it must be a dict."),
    "syslog-refuses": (
        "syslog_addr = 'tcp://127.0.0.1:1'; syslog = True",
        "can't log there: Connection refused.",
    ),
    "syslog-unknown-host": (
        "syslog_addr = 'udp://no-such-host.invalid:514'; syslog = True",
        "can't log there: ",
    ),
    "syslog-no-file": (
        "syslog_addr = 'unix:///nowhere'; syslog = True",
        "can't log there: nobody listens there.",
    ),
    "syslog-port": ("syslog_addr = 'udp://h:0'", "it has no valid port number: '0'."),
    "syslog-word": ("syslog_addr = 'unix:///x#y'", "it ends neither in #dgram nor in #stream."),
    "syslog-form": ("syslog_addr = 'here'", "it must be unix://PATH, udp://HOST:PORT or tcp://"),
    "syslog-facility": ("syslog_facility = 'mine'", "it must be one of auth, "),
    "statsd-port": ("statsd_host = 'here:x'", "Value must be one of ('host:port', 'unix://PATH')."),
}
useless = pytest.mark.parametrize(("line", "why"), USELESS.values(), ids=USELESS)


def write_useless_files(folder: Path) -> None:
    (folder / "bad.json").write_text('{"handlers": {"console": {"class": "no.Such"}}}')
    (folder / "bad.ini").write_text("[loggers]\nkeys = root\n[logger_root]\nhandlers =\n")


def useless_sentence(line: str, why: str) -> str:
    """A pattern: which setting, which value, where it is from, and why it is refused."""
    name, _, value = line.partition(";")[0].partition(" = ")
    shown = r"\{.*?\}" if value.startswith("{") else re.escape(value)
    return rf"Invalid value for {name}: {shown} \(from gunicorn\.conf\.py:2\): {re.escape(why)}.*"


RAISES = (
    APP
    + "class Raises:\n    def __init__(self, cfg):\n        raise RuntimeError('no such luck')\n"
)


@useless
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, line: str, why: str) -> None:
    write_useless_files(tmp_path)
    (tmp_path / "app.py").write_text(RAISES)
    (tmp_path / "gunicorn.conf.py").write_text(f"\n{line}\n")
    done = run_command(tmp_path, "-b", "127.0.0.1:0", "app:app")
    assert done.returncode == 1
    assert re.fullmatch(rf"Error: {useless_sentence(line, why)}\n", done.stderr), done.stderr


@useless
def test_what_cannot_be_used_at_a_reload_changes_nothing(
    serve: Serve, tmp_path: Path, line: str, why: str
) -> None:
    """Nor are handlers closed, which Python's logging does before it looks at a new configuration,
    and which not each handler stands."""
    write_useless_files(tmp_path)
    config = tmp_path / "gunicorn.conf.py"
    good = DICT.replace("logging.FileHandler", "forms.Brittle")
    config.write_text(good)
    (tmp_path / "forms.py").write_text(FORMS + BRITTLE)
    server = serve(RAISES, wait=False)
    log = tmp_path / "py-error"
    server.wait_listening_in(log)
    worker = server.wait_workers(1)
    config.write_text(f"\n{line}\n")
    server.send_signal(signal.SIGHUP)
    poll(lambda: "Reload failed" in log.read_text(), f"the reload has failed: {server.log}")
    told = f"mine ERROR {useless_sentence(line, why)}"
    assert len([x for x in log.read_text().splitlines() if re.fullmatch(told, x)]) == 1
    assert server.workers() == worker
    server.get("/after")
    assert "/after" in lines_of(server, "py-access", 1)[0]
    config.write_text(good)
    server.send_signal(signal.SIGHUP)
    poll(lambda: "Reloaded" in log.read_text(), "the next one works")
    assert server.stop() == 0
    assert server.log == ""


BRITTLE = """
class Brittle(logging.FileHandler):
    over = False
    def close(self):
        super().close()
        self.over = True
    def emit(self, record):
        if not self.over:
            super().emit(record)
"""


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


@pytest.mark.parametrize("kind", ["udp", "dgram", "stream"])
def test_syslog_lines_begin_with_the_programs_name(
    serve: Serve, worker_class: str, tmp_path: Path, kind: str
) -> None:
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    word = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
    with socket.socket(family, word) as sock:
        sock.settimeout(PATIENCE)
        sock.bind(("127.0.0.1", 0) if kind == "udp" else str(tmp_path / "syslog"))
        if kind == "stream":
            sock.listen()
        to = f"udp://127.0.0.1:{sock.getsockname()[1]}" if kind == "udp" else ""
        server = serve(
            APP,
            *("-k", worker_class, "--log-syslog", "--log-syslog-prefix", "shop"),
            *("--log-syslog-to", to or f"unix://{tmp_path}/syslog#{kind}"),
            *("--log-syslog-facility", "local3"),
        )
        # Each logger has a connection of its own.
        sources = [sock.accept()[0], sock.accept()[0]] if kind == "stream" else [sock, sock]
        server.get("/x")
        for source, line in zip(
            sources,
            (
                r"<158>gunicorn\.shop\.error: \[\d+\] Booting worker",
                r"<158>gunicorn\.shop\.access: \[\d+\] 127\.0\.0\.1 - - .* \"GET /x HTTP",
            ),
        ):
            source.settimeout(PATIENCE)
            text = ""
            while not re.search(line, text):
                text += source.recv(65536).decode()
        for source in sources:
            source.close()
    assert "Booting worker" in server.log


class SyslogServer:
    """Listens by TCP, and has the lines that it was sent."""

    def __init__(self, port: int = 0) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.lines: list[str] = []
        self.peers: list[socket.socket] = []
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.peers.append(self.listener.accept()[0])
                self.threads.append(threading.Thread(target=self._read, args=self.peers[-1:]))
                self.threads[-1].start()

    def _read(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer.makefile(encoding="utf-8", newline="\n") as file:
            self.lines.extend(file)

    def wait(self, pattern: str) -> str:
        def look() -> str:
            return next((x for x in list(self.lines) if re.fullmatch(f"{pattern}\n", x)), "")

        return str(poll(look, f"{pattern} in {self.lines}"))

    def close(self) -> None:
        for sock in (self.listener, *self.peers):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for sock in (self.listener, *self.peers):
            sock.close()


@pytest.fixture
def syslog() -> Iterator[SyslogServer]:
    found = SyslogServer()
    yield found
    found.close()


def serve_by_tcp(serve: Serve, syslog: SyslogServer, *args: str) -> Server:
    to = ("--log-syslog", "--log-syslog-to", f"tcp://127.0.0.1:{syslog.port}")
    return serve(APP, *to, *args)


def test_syslog_over_tcp_gets_a_line_for_each_record(
    serve: Serve, worker_class: str, syslog: SyslogServer
) -> None:
    server = serve_by_tcp(serve, syslog, "-k", worker_class, "--log-syslog-prefix", "shop")
    syslog.wait(r"<14>gunicorn\.shop\.error: \[\d+\] Booting worker with pid: \d+")
    server.get("/x")
    syslog.wait(r'<14>gunicorn\.shop\.access: \[\d+\] 127\.0\.0\.1 - - .* "GET /x HTTP.*')
    server.get("/fail")
    syslog.wait(
        r"<11>gunicorn\.shop\.error: \[\d+\] Error handling request GET /fail#012Traceback .*"
        r"#012RuntimeError: in the app"
    )
    assert server.stop() == 0
    syslog.wait(rf"<14>gunicorn\.shop\.error: \[{server.pid}\] Shutting down: Master")
    assert "Logging error" not in server.log


@pytest.mark.parametrize("name", ["gunicorn", "cgunicorn"])
def test_the_programs_name_in_syslog_follows_the_application(serve: Serve, name: str) -> None:
    if name == "gunicorn":
        pytest.importorskip("gunicorn")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        to = f"udp://127.0.0.1:{sock.getsockname()[1]}"
        command = (sys.executable, "-m", name)
        serve(APP, "--log-syslog", "--log-syslog-to", to, command=command, wait=False)
        assert re.match(rb"<14>gunicorn\.app\.app\.error: \[\d+\] Starting", sock.recv(65536))


def test_syslog_can_be_without_the_access_log(serve: Serve, syslog: SyslogServer) -> None:
    server = serve_by_tcp(
        serve, syslog, "--disable-redirect-access-to-syslog", "--access-logfile", "access"
    )
    server.get("/x")
    assert "GET /x" in lines_of(server, "access", 1)[0]
    server.stop()
    syslog.wait(r".*app\.error: .* Shutting down: Master")
    assert not [line for line in syslog.lines if "GET /x" in line or ".access:" in line]


def test_syslog_over_tcp_is_found_again(
    serve: Serve, worker_class: str, syslog: SyslogServer
) -> None:
    """Nobody there costs lines of syslog, and neither requests nor lines of the other logs."""
    server = serve_by_tcp(serve, syslog, "-k", worker_class, "--access-logfile", "access")
    server.get("/before")
    syslog.wait(".*GET /before.*")
    syslog.close()
    for i in range(20):
        assert server.get(f"/without/{i}").status == 200
    lines_of(server, "access", 21)
    again = SyslogServer(syslog.port)
    try:
        poll(lambda: server.get("/after") and "GET /after" in "".join(again.lines), "a line again")
    finally:
        again.close()
    assert "Logging error" not in server.log


def test_syslog_over_tcp_that_does_not_read_holds_nobody_up(
    serve: Serve, worker_class: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        to = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        format_ = "%(r)s" * 1000
        server = serve(
            *(APP, "-k", worker_class, "--timeout", "20"),
            *("--log-syslog", "--log-syslog-to", to, "--access-logformat", format_),
        )
        for _ in range(200):
            assert server.get("/" + "x" * 100).status == 200
        assert "TIMEOUT" not in server.log
        assert "Logging error" not in server.log
