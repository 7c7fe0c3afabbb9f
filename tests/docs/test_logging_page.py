# SPDX-License-Identifier: MIT
"""The recipes of docs/logging.md: each is followed, and what it promises is seen."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shown
from harness import PATIENCE, Server, poll

Serve = Callable[..., Server]

PAGE = "docs/logging.md"
APP = """
import logging
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("in the app")
    start_response("200 OK", [])
    return [b"hello"]
"""

LOGROTATE = shown.block(PAGE, "logrotate")
FLASK = shown.block(PAGE, "python", "import logging\n\nfrom flask")
FILTER = shown.block(PAGE, "python", "import logging\n\n\nclass NoHealthChecks")
DICT = shown.block(PAGE, "python", "accesslog")
CLASS = shown.block(PAGE, "python", "from cgunicorn import glogging")
HOOK = shown.block(PAGE, "python", "def post_request")


def arguments(opening: str, **replaced: object) -> list[str]:
    """Those of the command on the page which begins so, up to the application."""
    [command] = [
        c.text for c in shown.all_commands() if c.block.page == PAGE and c.text.startswith(opening)
    ]
    for old, new in replaced.items():
        assert f":{old[1:]}" in command
        command = command.replace(f":{old[1:]}", f":{new}")
    program, *words, app = shlex.split(command)
    assert (program, app) == ("cgunicorn", "app:app")
    return words


def configure(folder: Path, text: str) -> None:
    (folder / "gunicorn.conf.py").write_text(text)


@pytest.fixture
def udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def receive_until(sock: socket.socket, pattern: str) -> str:
    text = ""
    while not re.search(pattern, text, re.MULTILINE):
        text += sock.recv(65536).decode() + "\n"
    return text


# The access log


def test_a_format(serve: Serve) -> None:
    server = serve(APP, *arguments("cgunicorn --access-logfile - "))
    server.get("/x")
    server.wait_log(r'(?m)^127\.0\.0\.1 "GET /x HTTP/1\.1" 200 5 0\.\d{6}$')


def test_json_can_be_parsed_and_has_the_members_of_the_table(serve: Serve) -> None:
    server = serve(APP, *arguments("cgunicorn --access-logfile access.log "))
    server.get('/x?"y"', "User-Agent: a\xff\\b")
    log = server.directory / "access.log"
    poll(lambda: log.read_text().endswith("}\n"), "a line")
    line = json.loads(log.read_text())
    page = (shown.ROOT / PAGE).read_text()
    assert list(line) == re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert (line["status"], line["query"], line["user_agent"]) == (200, '"y"', "a\xff\\b")


# Rotation


def rotate_by_hand(recipe: str, folder: Path) -> None:
    """What logrotate does first of all, and last."""
    for log in folder.glob("*.log"):
        log.rename(f"{log}.1")
    script = re.search(r"postrotate\n(.*?)endscript", recipe, re.DOTALL)
    assert script
    subprocess.run(["sh", "-e", "-c", script[1]], check=True, timeout=PATIENCE)


def rotate(recipe: str, folder: Path) -> None:
    program = shutil.which("logrotate", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not program:
        rotate_by_hand(recipe, folder)
        return
    config = folder / "logrotate.conf"
    config.write_text(recipe)
    config.chmod(0o644)
    folder.chmod(0o755)
    command = [program, "--force", "--state", str(folder / "state"), str(config)]
    subprocess.run(command, check=True, timeout=PATIENCE)


def test_logrotate(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    recipe = LOGROTATE.text
    for old, new in (("/var/log/app/", f"{logs}/"), ("/run/app.pid", f"{tmp_path}/app.pid")):
        assert old in recipe
        recipe = recipe.replace(old, new)
    server = serve(
        APP,
        *("-k", worker_class, "-w", "2", "--pid", "app.pid"),
        *("--error-logfile", "logs/error.log", "--access-logfile", "logs/access.log"),
        wait=False,
    )
    server.wait_listening_in(logs / "error.log")
    server.get("/before")
    poll(lambda: "/before" in (logs / "access.log").read_text(), "the line before")
    rotate(recipe, logs)
    poll(lambda: (logs / "access.log").exists() and (logs / "error.log").exists(), "new files")

    def is_in_the_new_file() -> bool:
        """A worker may have its signal a moment later than the master."""
        server.get("/after")
        return "/after" in (logs / "access.log").read_text()

    poll(is_in_the_new_file, "a line behind the rotation")
    assert "/before" in (logs / "access.log.1").read_text()
    assert "Listening at" in (logs / "error.log.1").read_text()
    assert server.stop() == 0
    assert "Shutting down" in (logs / "error.log").read_text()


# Python's loggers


def test_flask_logs_where_the_server_does(serve: Serve) -> None:
    pytest.importorskip("flask")
    view = '@app.get("/")\ndef index():\n    app.logger.info("from a view")\n    return "hello"\n'
    server = serve(f"{FLASK.text}\n\n{view}")
    assert server.get().body == b"hello"
    server.wait_log(r"(?m)^\[[^\]]+\] \[\d+\] \[INFO\] from a view$")


def test_health_checks_are_left_out(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    configure(tmp_path, FILTER.text)
    server = serve(APP, "-k", worker_class, "--access-logfile", "-")
    server.get("/health")
    server.get("/other")
    server.wait_log("GET /other")
    assert "GET /health" not in server.log


def test_logconfig_dict(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    configure(tmp_path, DICT.text)
    server = serve(APP, "-k", worker_class, wait=False)
    server.wait_log(r"(?m)^I \d+ Listening at: http://127\.0\.0\.1:\d+")
    server.wait_listening()
    server.get("/fail")
    server.wait_log(r'(?m)^I \d+ 127\.0\.0\.1 - - .*"GET /fail HTTP/1\.1" 500')
    problems = tmp_path / "problems.log"
    poll(lambda: "RuntimeError: in the app" in problems.read_text(), "the traceback")
    assert re.search(r"^E \d+ Error handling request GET /fail", problems.read_text(), re.MULTILINE)
    assert "Listening" not in problems.read_text()


def test_logger_class(serve: Serve, worker_class: str, tmp_path: Path) -> None:
    (tmp_path / "loggers.py").write_text(CLASS.text)
    server = serve(
        APP,
        *("-k", worker_class, "--logger-class", "loggers.Logger", "--access-logfile", "-"),
        *("--access-logformat", "%(U)s of %(tenant)s"),
    )
    server.get("/x", "X-Tenant: acme")
    server.get("/y")
    server.wait_log(r"(?m)^/x of acme$")
    server.wait_log(r"(?m)^/y of -$")


# syslog and statsd


def test_syslog(serve: Serve, udp: socket.socket) -> None:
    server = serve(APP, *arguments("cgunicorn --log-syslog", _514=udp.getsockname()[1]))
    server.get("/x")
    text = receive_until(udp, r"gunicorn\.shop\.access: \[\d+\] 127\.0\.0\.1 .*GET /x")
    assert re.search(r"gunicorn\.shop\.error: \[\d+\] Booting worker", text)


def test_statsd(serve: Serve, udp: socket.socket, tmp_path: Path) -> None:
    configure(tmp_path, HOOK.text)
    server = serve(APP, *arguments("cgunicorn --statsd-host", _8125=udp.getsockname()[1]))
    server.get("/fail")
    wanted = {
        "requests:1|c",
        "request.status.500:1|c",
        "workers:1|g",
        "log.exception:1|c",
        "app.size:7|g",
    }
    seen: set[str] = set()
    while not wanted <= seen:
        [metric] = re.findall(
            r"shop\.(?:gunicorn\.)?(.*?)(?:\|@1\.0)?\|#service:shop", udp.recv(65536).decode()
        )
        seen.add(metric)
