# SPDX-License-Identifier: MIT
"""What an application may do to a server, a path each."""

from __future__ import annotations

import atexit
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Environ = dict[str, Any]
KIB = 1024

PAGE = b"x" * (4 * KIB)
CHUNK = b"x" * (16 * KIB)
MIB = b"x" * (KIB * KIB)

FILE_SIZE = 10 * KIB * KIB
_folder = tempfile.mkdtemp(prefix="bench-")
_file = Path(_folder, "file")
_file.write_bytes(bytes(FILE_SIZE))
_owner = os.getpid()


@atexit.register
def _remove() -> None:
    if os.getpid() == _owner:
        _file.unlink(missing_ok=True)
        Path(_folder).rmdir()


def _length(n: int) -> list[tuple[str, str]]:
    return [("Content-Type", "text/plain"), ("Content-Length", str(n))]


HEADERS = [
    *_length(len(PAGE)),
    ("Cache-Control", "private, max-age=0, must-revalidate"),
    ("ETag", '"8f14e45fceea167a5a36dedd4bea2543"'),
    ("Vary", "Accept-Encoding, Cookie"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Set-Cookie", "session=8f14e45fceea167a5a36dedd4bea2543; Path=/; HttpOnly"),
]


def hello(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", _length(13))
    return [b"Hello, World!"]


def headers(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", HEADERS)
    return [PAGE]


def upload(environ: Environ, start_response: Any) -> Iterable[bytes]:
    n = len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    start_response("200 OK", _length(len(str(n))))
    return [str(n).encode()]


def sleep(environ: Environ, start_response: Any) -> Iterable[bytes]:
    time.sleep(1)
    return hello(environ, start_response)


def compute(environ: Environ, start_response: Any) -> Iterable[bytes]:
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        sum(range(1000))
    return hello(environ, start_response)


def chunks(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (CHUNK for _ in range(64))


def mib(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", _length(len(MIB)))
    return [MIB]


def file(environ: Environ, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", _length(FILE_SIZE))
    stream = _file.open("rb")
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper:
        return wrapper(stream, 64 * KIB)  # type: ignore[no-any-return]
    return iter(lambda: stream.read(64 * KIB), b"")


PATHS: dict[str, Callable[[Environ, Any], Iterable[bytes]]] = {
    "/": hello,
    "/headers": headers,
    "/upload": upload,
    "/sleep": sleep,
    "/compute": compute,
    "/chunks": chunks,
    "/mib": mib,
    "/file": file,
}


def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
    return PATHS[environ["PATH_INFO"]](environ, start_response)
