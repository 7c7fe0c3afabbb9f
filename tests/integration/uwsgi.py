# SPDX-License-Identifier: MIT
"""uwsgi packets as a client makes them."""

from __future__ import annotations

import struct
from collections.abc import Iterable

#: What nginx sends for `GET /` with its stock uwsgi_params.
STOCK = {
    "QUERY_STRING": "",
    "REQUEST_METHOD": "GET",
    "CONTENT_TYPE": "",
    "CONTENT_LENGTH": "",
    "REQUEST_URI": "/",
    "PATH_INFO": "/",
    "DOCUMENT_ROOT": "/usr/share/nginx/html",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REQUEST_SCHEME": "http",
    "REMOTE_ADDR": "203.0.113.5",
    "REMOTE_PORT": "4711",
    "SERVER_PORT": "8080",
    "SERVER_NAME": "site.example",
    "HTTP_HOST": "site.example:8080",
}


def packet(*more: tuple[str, str], body: bytes = b"", modifier1: int = 0, **override: str) -> bytes:
    """The stock variables with some of them changed, more behind them, and a body."""
    values = {**STOCK, **override}
    if body:
        values["CONTENT_LENGTH"] = str(len(body))
    return raw_packet([*values.items(), *more], modifier1) + body


def raw_packet(variables: Iterable[tuple[str, str]], modifier1: int = 0) -> bytes:
    """Exactly these variables."""
    block = b"".join(
        struct.pack("<H", len(text)) + text
        for pair in variables
        for text in (part.encode("latin-1") for part in pair)
    )
    return struct.pack("<BHB", modifier1, len(block), 0) + block
