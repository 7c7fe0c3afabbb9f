# SPDX-License-Identifier: MIT
"""Logging to syslog: over UDP, unix sockets and TCP, with listeners that come and go."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import PATIENCE, Server, poll
from test_logging import APP, lines_of

Serve = Callable[..., Server]


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
        self._end(self.listener)
        self.threads[0].join()  # then nobody else comes
        for peer in self.peers:
            self._end(peer)
        for thread in self.threads[1:]:
            thread.join()
        for sock in (self.listener, *self.peers):
            sock.close()

    @staticmethod
    def _end(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def listen_again(port: int) -> SyslogServer:
    """At the same port, when whoever may have got it meanwhile has gone."""
    found: list[SyslogServer] = []

    def listens() -> bool:
        with contextlib.suppress(OSError):
            found.append(SyslogServer(port))
        return bool(found)

    poll(listens, f"port {port}")
    return found[0]


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
    again = listen_again(syslog.port)
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
