# SPDX-License-Identifier: MIT
"""A load generator that knows what became of each request that it sent.

A process of its own: `generator.py RECORDS --to ADDRESS ...` asks until its standard input ends,
and appends one line of JSON to RECORDS for each request: see `Record`.

A request fails in exactly one way of FAILURES, and is not sent again. One thing looks like a
failure and is none. On a kept connection the server's close may cross the next request on its way,
which the client then must send again (RFC 9112 section 9.3.1). That is no licence to throw requests
away: a server must read what has arrived before it closes. So the client looks whether the
connection is still open, sends, and looks again. On one machine the kernel has then put the request
into the server's socket already. A close that is there after sending has crossed it: counted as
`crossed`, and sent again under the same name. A close that comes later has thrown away a request
that had arrived: `dropped` or `reset`, a failure.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import random
import select
import socket
import sys
import termios
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

FAILURES = {
    "refused": "nobody listens",
    "reset": "reset before any byte of the response",
    "dropped": "closed before any byte of the response",
    "cut": "ended inside the response",
    "wrong": "not the response to this request, or a status below 500 that is not 200",
    "error": "a status from 500 on",
    "timeout": "no whole response in time",
    "unheard": "the other side's kernel has not taken the connection, or not all of the request",
}

TCP_ESTABLISHED = 1
#: Acknowledgements are delayed, but not for so long.
ACKNOWLEDGED_S = 1.0


@dataclass
class Record:
    """One request. Times are CLOCK_MONOTONIC, which all processes of a machine share."""

    ident: str
    path: str
    started_s: float
    #: When the whole request was with the kernel; 0: it never was.
    sent_s: float
    ended_s: float
    #: "answered" or one of FAILURES.
    outcome: str
    #: The worker that answered; else who answered before on this connection; 0: unknown.
    pid: int
    #: How often the server's close crossed this request.
    crossed: int


class FailedError(Exception):
    """The request failed in this way."""


class CrossedError(Exception):
    """The server had closed the kept connection when the request reached it."""


def connect(address: int | str, timeout_s: float) -> socket.socket:
    if isinstance(address, int):
        sock = socket.create_connection(("127.0.0.1", address), timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(address)  # waits when the queue is full, as it would not with a timeout
    except OSError:
        sock.close()
        raise
    sock.settimeout(timeout_s)
    return sock


class Connection:
    """One connection; `pid` is the worker that last answered on it."""

    def __init__(self, address: int | str, timeout_s: float) -> None:
        """To a port of this machine, or a socket file."""
        self.pid = 0
        self.used = False
        self._data = b""
        try:
            self._sock = connect(address, timeout_s)
        except socket.timeout:
            raise FailedError("unheard") from None
        except (ConnectionRefusedError, FileNotFoundError):
            raise FailedError("refused") from None
        except ConnectionError:
            raise FailedError("reset") from None

    def close(self) -> None:
        self._sock.close()

    def is_open(self) -> bool:
        """False when the server has closed or reset it."""
        if self._sock.family == socket.AF_UNIX:
            return self._is_open_file()
        return self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED

    def _is_open_file(self) -> bool:
        if not select.select([self._sock], [], [], 0)[0]:
            return True
        try:
            return self._sock.recv(1, socket.MSG_PEEK) != b""
        except ConnectionError:
            return False

    def _is_unheard(self, record: Record) -> bool:
        """Whether a part of the request has never reached the server's socket. What is sent to a
        socket file is there at once."""
        if self._sock.family == socket.AF_UNIX:
            return False
        if not record.sent_s or time.monotonic() - record.sent_s < ACKNOWLEDGED_S:
            return False
        left = fcntl.ioctl(self._sock, termios.TIOCOUTQ, b"\0" * 4)
        return int.from_bytes(left, sys.byteorder, signed=True) > 0

    def exchange(self, request: bytes, record: Record) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and body of the response."""
        try:
            self._sock.sendall(request)
            record.sent_s = time.monotonic()
        except ConnectionError:
            pass  # a server may answer and close before it has read a body
        except socket.timeout:
            raise FailedError("timeout") from None
        crossed = self.used and not self.is_open()
        self.used = True
        try:
            return self._response()
        except socket.timeout:
            raise FailedError("unheard" if self._is_unheard(record) else "timeout") from None
        except (ConnectionError, EOFError) as e:
            if self._data:
                raise FailedError("cut") from None
            if crossed:
                raise CrossedError from None
            if self._is_unheard(record):
                raise FailedError("unheard") from None
            raise FailedError("dropped" if isinstance(e, EOFError) else "reset") from None
        except (KeyError, ValueError, IndexError):
            raise FailedError("wrong") from None

    def _response(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, body = self._data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (each.partition(":") for each in lines)}
        length = int(fields["content-length"])
        while len(body) < length:
            body += self._more()
        self._data = b""
        return int(line.split()[1]), fields, body

    def _more(self) -> bytes:
        data = self._sock.recv(65536)
        if not data:
            raise EOFError
        self._data += data
        return data


class Caller(threading.Thread):
    """One client: a request after the other."""

    def __init__(self, number: int, options: argparse.Namespace, stop: threading.Event) -> None:
        super().__init__()
        self._number = number
        self._options = options
        self._stop_asking = stop
        self._random = random.Random(number)
        self._connection: Connection | None = None
        self._records = os.open(options.records, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(self) -> None:
        sent = 0
        while not self._stop_asking.is_set():
            record = self._ask(f"{self._options.run}-{self._number}-{sent}", sent)
            sent += 1
            os.write(self._records, json.dumps(asdict(record)).encode() + b"\n")
            # One that was refused must not spin.
            least_s = 0.01 if record.outcome == "refused" else 0.0
            self._stop_asking.wait(least_s + self._random.uniform(0, 2 * self._options.pause))
        self._leave()
        os.close(self._records)

    def _leave(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _ask(self, ident: str, number: int) -> Record:
        path = self._options.paths[number % len(self._options.paths)]
        record = Record(ident, path, time.monotonic(), 0.0, 0.0, "answered", 0, 0)
        try:
            while not self._try(record):
                record.crossed += 1
        except FailedError as failure:
            record.outcome = str(failure)
            self._leave()
        record.ended_s = time.monotonic()
        return record

    def _try(self, record: Record) -> bool:
        """Sends it; False when it was crossed by the server's close."""
        if self._connection and not self._connection.is_open():
            self._leave()
        if not self._connection:
            self._connection = Connection(self._options.to, self._options.timeout)
        record.pid = self._connection.pid
        try:
            self._check(record, *self._connection.exchange(self._request(record), record))
        except CrossedError:
            self._leave()
            return False
        return True

    def _request(self, record: Record) -> bytes:
        body = b"x" * self._options.upload if record.path == "/upload" else b""
        method = "POST" if body else "GET"
        fields = ["Host: load.example", f"Content-Length: {len(body)}"]
        if not self._options.keep_alive:
            fields.append("Connection: close")
        lines = [f"{method} {record.path}?{record.ident} HTTP/1.1", *fields, "", ""]
        return "\r\n".join(lines).encode() + body

    def _check(self, record: Record, status: int, fields: dict[str, str], body: bytes) -> None:
        assert self._connection is not None
        if status >= 500:
            raise FailedError("error")
        name, _, rest = body.decode("latin-1").partition(" ")
        if status != 200 or name != record.ident:
            raise FailedError("wrong")
        record.pid = self._connection.pid = int(rest.split()[0])
        if fields.get("connection") == "close":
            self._leave()


def to(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("records", type=Path)
    parser.add_argument("--to", type=to, required=True, help="a port, or a socket file")
    parser.add_argument("--run", type=int, default=0, help="begins the names of the requests")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--keep-alive", action="store_true")
    parser.add_argument(
        "--pause", type=float, default=0.005, help="seconds between two, on average"
    )
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds for one step")
    parser.add_argument("--paths", type=lambda s: s.split(","), default=["/work"])
    parser.add_argument("--upload", type=int, default=0, help="bytes of a body")
    options = parser.parse_args()
    stop = threading.Event()
    callers = [Caller(i, options, stop) for i in range(options.clients)]
    for caller in callers:
        caller.start()
    sys.stdin.buffer.read()
    stop.set()
    for caller in callers:
        caller.join()


if __name__ == "__main__":
    main()
