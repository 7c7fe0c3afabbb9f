# SPDX-License-Identifier: MIT
"""HUP: rolling, beside a broken application, with addresses that can't be had; and TERM while
responses stream."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, alive, children, poll
from load import Load

Serve = Callable[..., Server]

#: Answers the version that it was loaded as, slowly: what overlaps is seen.
APP = """
import time
VERSION = b"1"
time.sleep(0.2)
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [VERSION]
"""

#: The second process that loads it fails, and all that follow, until there is a file "mended".
BREAKS = """
import os, pathlib
loaded = len(list(pathlib.Path().glob("loaded-*"))) + 1
pathlib.Path(f"loaded-{os.getpid()}").touch()
if loaded > 1 and not os.path.exists("mended"):
    raise RuntimeError("broken by the test")
""" + APP.replace('b"1"', 'b"2"')

#: Never loaded.
HANGS = """
import os, time
open(f"hangs-{os.getpid()}", "w").close()
while True:
    time.sleep(60)
"""

#: /stream never ends.
STREAM = """
import time
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    while True:
        yield b"x"
        time.sleep(0.05)
"""

WORKERS = 4


class Census:
    """Counts the children of a server all the time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.most, self.least = 0, 1000

    def __enter__(self) -> Census:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            # The kernel may leave one out while another one is reaped: never twice in a row.
            n = max(len(children(self._server.pid)) for _ in range(2))
            self.most, self.least = max(self.most, n), min(self.least, n)
            time.sleep(0.001)


def write_app(server: Server, source: str) -> None:
    """In place of the old file at once, and not taken for it."""
    path = server.directory / "new.py"
    path.write_text(source)
    stamp = time.time() + 10
    os.utime(path, (stamp, stamp))
    path.rename(server.directory / "app.py")


def start_rolling(serve: Serve, worker_class: str, step: int) -> Server:
    args = ["-k", worker_class, "-w", str(WORKERS), "--rolling-reload", str(step)]
    server = serve(APP, *args, "--graceful-timeout", "10")
    assert server.get().status == 200
    server.wait_workers(WORKERS)
    return server


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_a_rolling_reload_loses_no_request_and_has_never_more_workers_than_it_may(
    serve: Serve, worker_class: str, keep_alive: bool, step: int
) -> None:
    server = start_rolling(serve, worker_class, step)
    with Load(server, keep_alive=keep_alive) as load, Census(server) as census:
        poll(lambda: load.answered > 0 or load.failures, "the old version serves")
        write_app(server, APP.replace('b"1"', 'b"2"'))
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: ")
        server.wait_workers(WORKERS)
        poll(lambda: load.bodies[b"2"] > 20 or load.failures, "the new version serves")
    load.check()
    assert set(load.bodies) == {b"1", b"2"}
    assert census.least >= WORKERS
    assert census.most <= WORKERS + step


def test_an_application_that_breaks_halfway_leaves_all_workers_serving(
    serve: Serve, worker_class: str
) -> None:
    server = start_rolling(serve, worker_class, 1)
    with Load(server, keep_alive=False) as load, Census(server) as census:
        write_app(server, BREAKS)
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reload failed, the old workers go on: a new worker ended before it was")
        poll(lambda: (len(load.bodies) > 0 and load.answered > 50) or load.failures, "it serves")
        (server.directory / "mended").touch()
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: ")
        server.wait_workers(WORKERS)
        answered = load.bodies[b"1"]
        poll(lambda: load.bodies[b"2"] > 20 or load.failures, "the new version serves")
        assert load.bodies[b"1"] <= answered + 4  # those under way
    load.check()
    assert census.least >= WORKERS


@pytest.mark.parametrize("second", [None, signal.SIGTERM], ids=["alone", "twice"])
def test_streams_are_bounded_after_term(
    serve: Serve, worker_class: str, second: signal.Signals | None
) -> None:
    graceful = "60" if second else "2"
    server = serve(STREAM, "-k", worker_class, "--graceful-timeout", graceful)
    with server.connect() as client:
        client.send_request("GET", "/stream")
        assert client.head().status == 200
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        if second:
            server.send_signal(second)
            server.wait_log("Quick shutdown requested")
        assert server.wait() == 0
        spent = time.monotonic() - began
    assert second or spent > 1.5


def test_a_stream_goes_on_while_workers_are_replaced(serve: Serve, worker_class: str) -> None:
    server = serve(STREAM, "-k", worker_class, "-w", "2", "--graceful-timeout", "60")
    with server.connect() as client:
        client.send_request("GET", "/stream")
        assert client.head().status == 200
        server.send_signal(signal.SIGHUP)
        server.wait_log("Reloaded: ")
        for _ in range(20):
            assert client.reader.readline()


@pytest.mark.parametrize(
    ("bind", "reason"),
    [
        ("unix:closed/x.sock", "Permission denied"),
        ("unix:nowhere/x.sock", "there is no such folder"),
        ("unix:app.py", "a file that is no socket is in the way"),
        ("192.0.2.1:0", "this machine has no such address, or there is no host of that name"),
    ],
    ids=["permission", "folder", "file", "address"],
)
def test_an_address_that_can_not_be_had_keeps_the_old_generation(
    serve: Serve, tmp_path: Path, bind: str, reason: str
) -> None:
    if reason == "Permission denied" and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "closed").mkdir(mode=0o555)
    config = tmp_path / "conf.py"
    config.write_text("bind = ['127.0.0.1:0']\n")
    server = serve(APP, "-c", "conf.py", bind=[])
    assert server.get().body == b"1"
    workers = server.workers()
    with Load(server, keep_alive=False) as load:
        config.write_text(f"bind = ['127.0.0.1:0', {bind!r}]\n")
        server.send_signal(signal.SIGHUP)
        server.wait_log("Can't listen at ")
        server.wait_log("Reload failed, the old workers go on: the new addresses can't be had")
        poll(lambda: load.answered > 20 or load.failures, "it serves")
    load.check()
    assert f": {reason}\n" in server.log
    assert server.workers() == workers
    config.write_text("bind = ['127.0.0.1:0']\nproc_name = 'again'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")


def test_a_relative_socket_file_is_found_after_the_folder_has_changed(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "app.py").write_text(APP)
    config = tmp_path / "conf.py"
    config.write_text("bind = ['127.0.0.1:0', 'unix:x.sock']\n")
    server = serve(APP, "-c", "conf.py", bind=[])
    config.write_text("bind = ['127.0.0.1:0', 'unix:x.sock']\nchdir = 'elsewhere'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")
    with server.connect_unix("x.sock") as client:
        client.send_request("GET")
        assert client.response().body == b"1"
    assert server.stop() == 0
    assert not (tmp_path / "x.sock").exists()


def test_hup_while_an_address_is_in_use_is_obeyed_when_it_is_free(
    serve: Serve, tmp_path: Path
) -> None:
    conf = tmp_path / "conf.py"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"bind = '127.0.0.1:{taken.getsockname()[1]}'\n"
        conf.write_text(bind)
        server = serve(APP, "-c", "conf.py", bind=(), wait=False)
        server.wait_log("Connection in use")
        conf.write_text(f"{bind}workers = 2\n")
        server.send_signal(signal.SIGHUP)
        server.wait_log("Handling signal: hup")
    server.wait_log("Reloaded: ")
    server.wait_workers(2)


def hang(serve: Serve) -> tuple[Server, int]:
    """A server with an old worker that serves, and a reload that never comes to an end."""
    server = serve(APP, "--boot-timeout", "0", "--graceful-timeout", "1")
    assert server.get().body == b"1"
    (server.directory / "app.py").write_text(HANGS)
    server.send_signal(signal.SIGHUP)
    found = poll(lambda: list(server.directory.glob("hangs-*")), "the new worker hangs")
    return server, int(found[0].name.partition("-")[2])  # type: ignore[index]


def test_the_next_hup_ends_a_reload_that_hangs(serve: Serve) -> None:
    server, hanging = hang(serve)
    assert server.get().body == b"1"
    (server.directory / "app.py").write_text(APP.replace('b"1"', 'b"2"'))
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on: another one was asked for")
    server.wait_log("Reloaded: the new workers are ready")
    (worker,) = server.wait_workers(1)
    assert worker != hanging
    assert server.get().body == b"2"
    assert server.stop() == 0


def test_a_reload_that_hangs_does_not_hold_up_a_stop(serve: Serve) -> None:
    server, hanging = hang(serve)
    assert server.get().body == b"1"
    assert server.stop() == 0
    assert not alive(hanging)
