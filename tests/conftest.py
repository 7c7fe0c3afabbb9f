# SPDX-License-Identifier: MIT
"""Fixtures that start the real command on a free port and always take it down again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server
from story import Story

#: Every worker class that exists; tests of HTTP and WSGI run under each.
WORKER_CLASSES = ["sync", "async"]

#: Files whose tests run with four application threads too.
THREADED = {
    "test_hook_objects",
    "test_hooks",
    "test_timeouts",
    "test_wsgi_close",
    "test_wsgi_input",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "worker_class" in metafunc.fixturenames:
        more = ["gthread"] if metafunc.module.__name__ in THREADED else []
        metafunc.parametrize("worker_class", WORKER_CLASSES + more, indirect=True)


@pytest.fixture
def worker_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test once for every worker class."""
    if request.param == "gthread":
        env = os.environ.get("CGUNICORN_TEST_ENV", "")
        monkeypatch.setenv("CGUNICORN_TEST_ENV", f"{env}\nCGUNICORN_THREADS=4".strip())
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


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """What the hooks of story.py note in the test's folder."""
    return Story(tmp_path)
