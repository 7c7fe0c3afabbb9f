# SPDX-License-Identifier: MIT
"""Fixtures that start the real command on a free port and always take it down again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server

#: Every worker class that exists; tests of HTTP and WSGI run under each.
WORKER_CLASSES = ["sync", "async"]


@pytest.fixture(params=WORKER_CLASSES)
def worker_class(request: pytest.FixtureRequest) -> str:
    """Runs the test once for every worker class."""
    return str(request.param)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A factory: serve(app_source, *args, **options) starts a server in an empty directory.

    Every server is stopped at the end of the test, by pid, and must not leave a process behind.
    """
    servers: list[Server] = []

    def start(app: str | None = None, *args: str, **options: object) -> Server:
        server = Server(tmp_path, app, args, **options)  # type: ignore[arg-type]
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
