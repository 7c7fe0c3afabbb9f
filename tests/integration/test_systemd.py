# SPDX-License-Identifier: MIT
"""What a service manager hears from the server: sd_notify(3)."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, Server, alive, poll

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""

SLOW_IMPORT_APP = (
    """
import os, time
while not os.path.exists("go"):
    time.sleep(0.01)
"""
    + APP
)


#: /busy lasts until there is a file "go", and so does a stop.
BUSY_APP = """
import os, pathlib, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/busy":
        pathlib.Path("entered").touch()
        while not os.path.exists("go"):
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""


class Manager:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind("\0" + address[1:] if address[0] == "@" else address)

    def expect(self, assignment: str) -> dict[str, str]:
        """The next message that has this assignment."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            message = self.sock.recv(4096).decode()
            if assignment in message.split("\n"):
                return dict(line.split("=", 1) for line in message.split("\n"))

    def clog(self) -> None:
        """Fills the socket, so that there is no room for a message of the server's."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
            filler.setblocking(False)
            filler.connect(self.sock.getsockname())
            with pytest.raises(BlockingIOError):
                while True:
                    filler.send(b"X=1")

    def drain(self) -> str:
        """All that has come so far."""
        self.sock.setblocking(False)
        messages = []
        try:
            while True:
                messages.append(self.sock.recv(4096).decode())
        except BlockingIOError:
            return "\n".join(messages)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    abstract = f"@cgunicorn-test-{os.getpid()}-{tmp_path.name}"
    made = Manager(abstract if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.sock.close()


def test_ready_is_said_when_all_workers_are(
    serve: Callable[..., Server], manager: Manager, worker_class: str
) -> None:
    env = {"NOTIFY_SOCKET": manager.address}
    server = serve(SLOW_IMPORT_APP, "-w", "2", "-k", worker_class, env=env)
    server.wait_log("Booting worker", count=2)
    assert "READY=1" not in manager.drain()
    (server.directory / "go").touch()
    message = manager.expect("READY=1")
    assert message["STATUS"] == "2 of 2 workers ready, 0 requests served"
    server.get()
    manager.expect("STATUS=2 of 2 workers ready, 1 requests served")
    assert server.stop() == 0
    assert "STOPPING=1\nEXTEND_TIMEOUT_USEC=35000000" in manager.drain()


@pytest.mark.parametrize(
    ("conf", "outcome"), [("workers = 1", "done"), ("workers = 'x'", "failed")]
)
def test_a_reload_is_announced_and_ended(
    serve: Callable[..., Server], manager: Manager, tmp_path: Path, conf: str, outcome: str
) -> None:
    (tmp_path / "conf.py").write_text("workers = 1")
    server = serve(APP, "-c", "conf.py", env={"NOTIFY_SOCKET": manager.address})
    manager.expect("READY=1")
    (tmp_path / "conf.py").write_text(conf)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    server.send_signal(signal.SIGHUP)
    assert int(manager.expect("RELOADING=1")["MONOTONIC_USEC"]) >= before
    assert manager.expect("READY=1")["STATUS"].endswith(f", last reload {outcome}")


def test_a_broken_application_ends_a_reload_in_ready(
    serve: Callable[..., Server], manager: Manager
) -> None:
    server = serve(APP, env={"NOTIFY_SOCKET": manager.address})
    manager.expect("READY=1")
    (server.directory / "app.py").write_text("raise RuntimeError('broken')")
    server.send_signal(signal.SIGHUP)
    manager.expect("RELOADING=1")
    assert manager.expect("READY=1")["STATUS"].endswith(", last reload failed")


def test_the_watchdog_is_fed_while_a_worker_serves(
    serve: Callable[..., Server], manager: Manager
) -> None:
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"}
    begin = time.monotonic()  # so that none of them has come before
    server = serve(APP, env=env)
    manager.expect("READY=1")
    for _ in range(10):
        manager.expect("WATCHDOG=1")
    assert time.monotonic() - begin > 0.8
    # Nobody can serve any more: every new worker fails.
    (server.directory / "app.py").write_text("raise RuntimeError('broken')")
    os.kill(server.workers()[0], signal.SIGKILL)
    manager.expect("STATUS=0 of 1 workers ready, 0 requests served")
    server.wait_log("Waiting .* before the next fork", count=2)
    manager.drain()
    server.wait_log("Waiting .* before the next fork", count=4)
    assert "WATCHDOG=1" not in manager.drain()


def test_a_watchdog_of_another_process_is_left_alone(
    serve: Callable[..., Server], manager: Manager
) -> None:
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}
    server = serve(APP, env=env)
    manager.expect("READY=1")
    assert server.stop() == 0
    assert "WATCHDOG" not in manager.drain()


def test_after_an_upgrade_the_new_master_is_the_main_process(
    serve: Callable[..., Server], manager: Manager
) -> None:
    # So seldom that its messages do not fill the socket before they are read.
    env = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "4000000"}
    server = serve(APP, env=env)
    manager.expect("READY=1")
    server.send_signal(signal.SIGUSR2)
    new = int(server.wait_log(r"Starting a new master with pid: (\d+)").group(1))
    try:
        server.wait_log("Upgraded: the new workers are ready")
        server.send_signal(signal.SIGTERM)
        # From the old one, before it ends: whoever listens to the main process alone hears it.
        manager.expect(f"MAINPID={new}")
        manager.expect(f"MAINPID={new}")
        manager.expect("READY=1")
        manager.expect("WATCHDOG=1")
        server.wait()
        assert "STOPPING" not in manager.drain()
    finally:
        os.kill(new, signal.SIGTERM)
    manager.expect("STOPPING=1")
    poll(lambda: not alive(new), "the new master ends")


def test_a_name_that_is_no_address_is_said_and_does_not_matter(
    serve: Callable[..., Server],
) -> None:
    server = serve(APP, env={"NOTIFY_SOCKET": "nowhere"})
    assert "NOTIFY_SOCKET is 'nowhere', which is no address" in server.log
    assert server.get().status == 200


def test_a_manager_that_is_slow_hears_all_of_it_later(
    serve: Callable[..., Server], manager: Manager
) -> None:
    manager.clog()
    server = serve(BUSY_APP, env={"NOTIFY_SOCKET": manager.address})
    assert server.get().status == 200
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    manager.expect("RELOADING=1")
    assert manager.expect("READY=1")["STATUS"].endswith(", last reload done")
    with server.connect() as client:
        client.send_request("GET", "/busy")
        poll((server.directory / "entered").exists, "the request is in the application")
        manager.clog()
        server.send_signal(signal.SIGTERM)
        server.wait_log("Handling signal: term")
        manager.expect("STOPPING=1")
        (server.directory / "go").touch()
        assert client.response().status == 200
    assert server.wait() == 0


def test_a_manager_that_never_listens_holds_up_nothing(
    serve: Callable[..., Server], manager: Manager
) -> None:
    manager.clog()
    server = serve(APP, env={"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "200000"})
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.get().status == 200
    assert server.stop() == 0
    assert "STOPPING" not in manager.drain()
