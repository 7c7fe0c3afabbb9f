# SPDX-License-Identifier: MIT
"""The server that is measured: the ordinary one with the settings of a cell, which reports when its
workers are ready and can be told to be slow. Run in a process of its own by server.py.

A request with the lab's header, whose value is known to nobody else, is a slow one: it sleeps
before it enters the application, or is slow by itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cgunicorn import cli
from cgunicorn.config import ArgumentsLayer, Config, Invocation
from cgunicorn.runtime import Runtime

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "X-Cgunicorn-Lab"
_ENVIRON_KEY = "HTTP_" + HEADER.upper().replace("-", "_")

#: What the report says: a worker is ready, a slow request is about to enter the application.
READY = b"r"
SLOW = b"s"


@dataclasses.dataclass(frozen=True)
class Order:
    """What the lab wants. `settings` are stronger than any other; `life_s` is when the server ends
    even if the lab is gone; `report_fd` is the pipe for READY and SLOW."""

    settings: dict[str, Any]
    secret: str
    sleep_s: float
    life_s: int
    report_fd: int

    def __str__(self) -> str:
        return json.dumps(dataclasses.asdict(self))


class Subject(Runtime):
    def __init__(self, order: Order, start: Invocation) -> None:
        self._order = order
        *others, last = start.arguments
        strongest = ArgumentsLayer(last.source, {**last.values, **order.settings})
        super().__init__(start._replace(arguments=(*others, strongest)))

    def boot(self, config: Config, requests_max: int) -> WSGIApplication:
        application = super().boot(config, requests_max)
        os.write(self._order.report_fd, READY)
        return _slowed(application, self._order)


def _slowed(application: WSGIApplication, order: Order) -> WSGIApplication:
    def enter(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.pop(_ENVIRON_KEY, None) == order.secret:
            os.write(order.report_fd, SLOW)
            time.sleep(order.sleep_s)
        return application(environ, start_response)

    return enter


def main(argv: list[str]) -> int:
    """The first argument is the order, the others are those of the command."""
    order = Order(**json.loads(argv[0]))
    signal.alarm(order.life_s)
    return cli.run(lambda: cli.invoke(argv[1:]), lambda start: Subject(order, start))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
