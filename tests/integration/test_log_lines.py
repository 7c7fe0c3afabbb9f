# SPDX-License-Identifier: MIT
"""The lines of the error log that people search for: where something happens that Gunicorn has a
line for, the line is Gunicorn's, word by word. What we say beyond it follows behind."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from harness import SHORT_TIMEOUT, Server, alive, children, poll

Serve = Callable[..., Server]

APP = """
import os, time
def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("in the app")
    if path == "/exit":
        os._exit(7)
    if path == "/stuck":
        time.sleep(60)
    write = start_response("200 OK", [])
    while path == "/endless":
        write(b"x" * 65536)
    return [str(os.getpid()).encode()]
"""

#: What happens -> whole lines, as regular expressions. An optional end is what we have to add; only
#: the name of the server is another.
LINES = {
    "life": (
        r"\[DEBUG\] Current configuration:",
        r"\[INFO\] Starting cgunicorn \d+\.\d+.*",
        r"\[INFO\] Listening at: http://127\.0\.0\.1:\d+,unix:g\.sock \(\d+\)",
        r"\[DEBUG\] Arbiter booted",
        r"\[INFO\] Using worker: sync",
        r"\[INFO\] Booting worker with pid: \d+",
        r"\[DEBUG\] GET /path",
        r"\[INFO\] Handling signal: ttin",
        r"\[DEBUG\] 2 workers",
        r"\[INFO\] Handling signal: ttou",
        r"\[DEBUG\] 1 workers",
        r"\[INFO\] Handling signal: usr1",
        r"\[INFO\] Handling signal: winch",
        r"\[DEBUG\] SIGWINCH ignored\. Not daemonized.*",
        r"\[INFO\] Handling signal: hup",
        r"\[INFO\] Hang up: Master",
        r"\[INFO\] Worker exiting \(pid: \d+\)",
        r"\[INFO\] Handling signal: term",
        r"\[INFO\] Shutting down: Master",
    ),
    "requests": (
        r"\[ERROR\] Error handling request GET /fail\?a=b",
        r"Traceback \(most recent call last\):",
        r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .+",
        r"\[DEBUG\] Ignored premature client disconnection\. .+",
        r"\[DEBUG\] Ignoring EPIPE",
    ),
    "deaths": (
        r"\[ERROR\] Worker \(pid:\d+\) exited with code 7\.( .*)?",
        r"\[ERROR\] Worker \(pid:\d+\) was sent SIGKILL! (Perhaps out of memory\?|Neither .*)",
        r"\[CRITICAL\] WORKER TIMEOUT \(pid:\d+\)(: .*)?",
    ),
    "max_requests": (r"\[INFO\] Autorestarting worker after current request\.",),
    "load": (
        r"\[ERROR\] Shutting down: Master",
        r"\[ERROR\] Reason: App failed to load\.",
    ),
    "boot": (
        r"\[ERROR\] Exception in worker process",
        r"\[ERROR\] Reason: Worker failed to boot\.",
    ),
    "address": (
        r"\[ERROR\] Connection in use: \('127\.0\.0\.1', \d+\)",
        r"\[ERROR\] connection to \('127\.0\.0\.1', \d+\) failed: \[Errno 98\]"
        r" Address already in use(, .*)?",
        r"\[ERROR\] Can't connect to \('127\.0\.0\.1', \d+\)",
    ),
    "orphan": (r"\[INFO\] Parent changed, shutting down: <Worker \d+>",),
    "upgrade": (
        r"\[INFO\] Handling signal: usr2",
        r"\[INFO\] Handling signal: quit",
        r"\[INFO\] Master has been promoted\.",
        r"\[INFO\] Handling signal: int",
    ),
    "reloader": (
        r"\[WARNING\] Reloader is on\. Use in development only!",
        r"\[INFO\] Worker reloading: .*/app\.py modified",
    ),
}


def has(server: Server, line: str) -> bool:
    stamp = "" if line.startswith("Traceback") else r"\[.{25}\] \[\d+\] "
    return re.search(f"^{stamp}{line}$", server.log, re.M) is not None


def check(server: Server, event: str) -> None:
    for line in LINES[event]:
        poll(lambda line=line: has(server, line), f"{line}, in\n{server.log}")


def test_life(serve: Serve) -> None:
    server = serve(APP, "--log-level", "debug", bind=("127.0.0.1:0", "unix:g.sock"))
    server.get("/path?query")
    for number, line in (
        (signal.SIGTTIN, "2 workers"),
        (signal.SIGTTOU, "1 workers"),
        (signal.SIGUSR1, "signal: usr1"),
        (signal.SIGWINCH, "SIGWINCH ignored"),
        (signal.SIGHUP, "Reloaded: "),
    ):
        server.send_signal(number)
        server.wait_log(line)
    assert server.stop() == 0
    check(server, "life")


def test_requests(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "--log-level", "debug", "-k", worker_class)
    server.get("/fail?a=b")
    server.raw(b"GET\r\n\r\n")
    server.raw(b"GET / HT")
    with server.connect() as client:
        client.send_request("GET", "/endless")
        client.head()
    check(server, "requests")


def test_deaths(serve: Serve) -> None:
    server = serve(APP, *SHORT_TIMEOUT)
    server.raw(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n")
    server.wait_log("exited with code 7")
    os.kill(int(server.get("/").body), signal.SIGKILL)
    server.wait_log("was sent SIGKILL")
    server.raw(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
    check(server, "deaths")


def test_max_requests(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "--max-requests", "1", "-k", worker_class)
    server.get("/")
    check(server, "max_requests")


def test_load(serve: Serve) -> None:
    server = serve("", wait=False)
    assert server.wait() == 4
    check(server, "load")


def test_boot(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("def post_worker_init(worker):\n    1 / 0\n")
    server = serve(APP, wait=False)
    assert server.wait() == 3
    check(server, "boot")


def test_address(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        server = serve(APP, bind=f"127.0.0.1:{holder.getsockname()[1]}", wait=False)
        assert server.wait() == 1
    check(server, "address")
    assert server.log.count("Connection in use: ") == 5


def test_orphan(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "-k", worker_class)
    server.get("/")
    (worker,) = server.workers()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    poll(lambda: not alive(worker), "the worker leaves")
    check(server, "orphan")


def test_upgrade(serve: Serve) -> None:
    server = serve(APP)
    (worker,) = server.wait_workers(1)
    server.send_signal(signal.SIGUSR2)
    server.wait_log("Upgraded: ")
    (new,) = (pid for pid in children(server.pid) if pid != worker)
    try:
        assert server.stop(signal.SIGQUIT) == 0
        poll(lambda: "Master has been promoted." in server.log, "the new master takes over")
    finally:
        os.kill(new, signal.SIGINT)
    poll(lambda: not alive(new), "the new master ends")
    check(server, "upgrade")


def test_reloader(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "--reload")
    server.get("/")
    (tmp_path / "app.py").write_text(APP + "\n")
    check(server, "reloader")
