# SPDX-License-Identifier: MIT
"""Clients that go on asking while a server is changed beneath them, and know what became of each
request that they sent."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from typing import Protocol

from harness import PATIENCE, Client


class HasPort(Protocol):
    """A server on 127.0.0.1: ours, or a proxy in front of it."""

    port: int


class Load:
    """`clients` threads ask for `target` until the block ends. `keep_alive`: on a connection that
    is used as long as the server keeps it, else on one for each request. A request is sent again
    when a connection that was used before ends without a byte in answer (RFC 9112 section 9.3.1);
    anything else that is not a whole response with status 200 has failed."""

    def __init__(
        self, server: HasPort, clients: int = 4, *, keep_alive: bool, target: str = "/"
    ) -> None:
        self._address = ("127.0.0.1", server.port)
        self._fields = () if keep_alive else ("Connection: close",)
        self._target = target
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        self.failures: list[str] = []
        self.bodies: Counter[bytes] = Counter()
        self.retried = 0
        self.longest = 0.0  #: seconds from sending a request to its answer

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    @property
    def answered(self) -> int:
        return sum(self.bodies.values())

    def check(self) -> None:
        """Nothing failed, and there was something that could have."""
        assert self.answered > 0
        assert self.failures == [], f"{len(self.failures)} of {self.answered} failed"

    def _run(self) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                client = self._ask(client)
            except (OSError, EOFError, AssertionError) as error:
                with self._lock:
                    self.failures.append(repr(error))
                client = None
            with self._lock:
                self.longest = max(self.longest, time.monotonic() - began)
        if client:
            client.close()

    def _connect(self) -> Client:
        return Client(socket.create_connection(self._address, PATIENCE))

    def _ask(self, client: Client | None) -> Client | None:
        """One request; the connection for the next one, if it can be used again."""
        used = client is not None
        client = client or self._connect()
        client.send_request("GET", self._target, *self._fields)
        if used and self._was_closed(client):
            client.close()
            with self._lock:
                self.retried += 1
            return self._ask(None)
        response = client.response()
        assert response.status == 200, response
        with self._lock:
            self.bodies[response.body] += 1
        if response.field("connection") == "close":
            client.close()
            return None
        return client

    @staticmethod
    def _was_closed(client: Client) -> bool:
        try:
            return not client.reader.peek(1)
        except ConnectionError:
            return True
