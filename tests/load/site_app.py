# SPDX-License-Identifier: MIT
"""The application under load. It writes down in a journal that a request has begun and that it has
ended, and answers with the request's name and the worker's pid. Each line of the journal is one
write to a file opened for appending, so that lines of several processes do not mix.

/work      works for WORK_S seconds, asleep
/upload    reads the body
/grow      asks for 64 MiB
/keep      keeps 256 KiB for ever
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable

JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
WORK_S = float(os.environ["WORK_S"])
#: Long enough that a cut in a response is seen.
SIZE = 3000
KEPT: list[bytes] = []


def note(mark: str, ident: str) -> None:
    os.write(JOURNAL, f"{mark} {ident} {os.getpid()}\n".encode())


def app(environ: dict[str, object], start_response: Callable[..., object]) -> Iterable[bytes]:
    ident = str(environ["QUERY_STRING"])
    note("begun", ident)
    if environ["PATH_INFO"] == "/upload":
        environ["wsgi.input"].read()  # type: ignore[attr-defined]
    if environ["PATH_INFO"] == "/grow":
        bytes(64 << 20)
    if environ["PATH_INFO"] == "/keep":
        KEPT.append(b"x" * (256 << 10))
    time.sleep(WORK_S)
    note("ended", ident)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{ident} {os.getpid()} ".encode().ljust(SIZE, b".")]
