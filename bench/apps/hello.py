# SPDX-License-Identifier: MIT
"""The smallest honest WSGI application."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

FIELDS = [("Content-Type", "text/plain"), ("Content-Length", "13")]


def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", FIELDS)
    return [b"Hello, World!"]
