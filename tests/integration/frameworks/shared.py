# SPDX-License-Identifier: MIT
"""What the applications have in common that is no framework's business."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from wsgiref.validate import validator

#: Holds data.bin and, while a stream may go on, the file "go".
FILES = Path(os.environ["SITE_FILES"])
DATA = FILES / "data.bin"

#: Seconds after which a stream goes on by itself.
STREAM_PATIENCE = 30.0


def lines() -> Iterator[bytes]:
    """The body of /stream: the first line must have left before the others are there."""
    try:
        yield b"first\n"
        deadline = time.monotonic() + STREAM_PATIENCE
        while not (FILES / "go").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        yield b"second\n"
        yield b"third\n"
    finally:
        (FILES / "closed").touch()


def digest(stream: BinaryIO) -> dict[str, object]:
    """Size and SHA-256 of what is left of a stream."""
    sha256 = hashlib.sha256()
    size = 0
    while data := stream.read(65536):
        sha256.update(data)
        size += len(data)
    return {"size": size, "sha256": sha256.hexdigest()}


def validated(module: str):
    """The application of another module between two strict readers of PEP 3333."""
    return validator(__import__(module).application)
