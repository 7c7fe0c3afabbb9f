# SPDX-License-Identifier: MIT
"""The clients: many exchanges at once in one thread, on connections that do not block.

A connection is kept for the next request where the server keeps it, else each request has its own,
and making it is part of the time that the request takes.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time

from cgunicorn.lab.reply import Reply, ReplyError

_READ_BYTES = 65536


class NoServerError(Exception):
    """No connection can be made. The text is a sentence."""


class Exchange:
    """One request and its response, on a connection that it owns while it lasts. `failure` says
    why there is no response."""

    __slots__ = (
        "_reply",
        "_unsent",
        "failure",
        "is_over",
        "request",
        "sock",
        "started_s",
        "took_s",
    )

    def __init__(self, request: bytes, sock: socket.socket, started_s: float) -> None:
        self.request = request
        self.sock = sock
        self.started_s = started_s
        self.took_s = 0.0
        self.failure = ""
        self.is_over = False
        self._unsent = request
        self._reply = Reply()

    @property
    def status(self) -> int:
        return self._reply.status

    @property
    def keeps_open(self) -> bool:
        return self._reply.keeps_open and not self.failure

    def send(self) -> bool:
        """Sends what the connection takes; True when nothing is left to be sent. NoServerError."""
        try:
            self._unsent = self._unsent[self.sock.send(self._unsent) :]
        except ConnectionRefusedError as error:
            self.sock.close()
            raise _no_server(error) from None
        except OSError as error:
            # Any other trouble is met again by whoever reads.
            return error.errno not in (errno.EAGAIN, errno.ENOTCONN)
        return not self._unsent

    def receive(self) -> bool:
        """Reads what is there; True when the exchange is over. NoServerError."""
        try:
            data = self.sock.recv(_READ_BYTES)
            if data:
                self.is_over = self._reply.feed(data)
            elif self._reply.end():
                self.is_over = True
            else:
                raise ReplyError("the connection ended before the response did")
        except BlockingIOError:
            return False
        except ConnectionRefusedError as error:
            raise _no_server(error) from None
        except (OSError, ReplyError) as error:
            self.failure = getattr(error, "strerror", None) or str(error)
            self.is_over = True
        if self.is_over:
            self.took_s = time.perf_counter() - self.started_s
        return self.is_over


class Crowd:
    """Exchanges under way with one server. A context manager: connections close at its end."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._selector = selectors.DefaultSelector()
        self.waiting_n = 0

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *exc: object) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.sock.close()
        self._selector.close()

    def ask(self, request: bytes, former: Exchange | None = None) -> None:
        """Begins an exchange, on the connection of a former one where that was kept open.
        NoServerError."""
        started_s = time.perf_counter()
        kept = former is not None and former.keeps_open
        sock = former.sock if former and kept else self._connect()
        exchange = Exchange(request, sock, started_s)
        events = selectors.EVENT_READ | (0 if exchange.send() else selectors.EVENT_WRITE)
        if kept:
            self._selector.modify(sock, events, exchange)
        else:
            self._selector.register(sock, events, exchange)
        self.waiting_n += 1

    def turn(self, timeout_s: float) -> list[Exchange]:
        """Waits until something happens and returns the exchanges that are over since.
        NoServerError."""
        over = []
        for key, mask in self._selector.select(max(timeout_s, 0)):
            exchange: Exchange = key.data
            if mask & selectors.EVENT_WRITE and exchange.send():
                self._selector.modify(exchange.sock, selectors.EVENT_READ, exchange)
            if mask & selectors.EVENT_READ:
                # What comes on a connection that waits for its next request is its end.
                if exchange.is_over:
                    self._drop(exchange)
                elif exchange.receive():
                    over.append(exchange)
                    self.waiting_n -= 1
                    if not exchange.keeps_open:
                        self._drop(exchange)
        return over

    def _drop(self, exchange: Exchange) -> None:
        self._selector.unregister(exchange.sock)
        exchange.sock.close()

    def _connect(self) -> socket.socket:
        """On loopback it is there when connect() returns, although that says otherwise; whether it
        was refused is told by the first to use it."""
        try:
            sock = socket.socket()
        except OSError as error:
            raise _no_server(error) from None
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(self._address)
        except BlockingIOError:
            pass
        except OSError as error:
            sock.close()
            raise _no_server(error) from None
        return sock


def _no_server(error: OSError) -> NoServerError:
    return NoServerError(f"The server can't be reached any more: {error.strerror}.")
