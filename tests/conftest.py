# SPDX-License-Identifier: MIT
"""Fixtures that start the real command on a free port and always take it down again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server
from story import Story

#: Every worker class that exists; tests of HTTP and WSGI run under each.
WORKER_CLASSES = ["sync", "async"]

#: Files whose tests run with four application threads too.
THREADED = {
    "test_app_signals",
    "test_free_threading",
    "test_hook_objects",
    "test_hooks",
    "test_timeouts",
    "test_wsgi_close",
    "test_wsgi_fork",
    "test_wsgi_input",
    "test_wsgi_threads",
}


# Who is started in the background of a script has it ignored, and so would all servers here.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: In which phases a test has failed.
FAILED = pytest.StashKey[list[str]]()

#: Set to a number: what else runs under each worker class runs once, with so many threads.
THREADS_ONLY = os.environ.get("CGUNICORN_TEST_THREADS")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "worker_class" in metafunc.fixturenames:
        more = ["gthread"] if metafunc.module.__name__ in THREADED else []
        classes = ["gthread"] if THREADS_ONLY else WORKER_CLASSES + more
        metafunc.parametrize("worker_class", classes, indirect=True)


@pytest.fixture
def worker_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test once for every worker class."""
    if request.param == "gthread":
        env = os.environ.get("CGUNICORN_TEST_ENV", "")
        threads = f"CGUNICORN_THREADS={THREADS_ONLY or 4}"
        monkeypatch.setenv("CGUNICORN_TEST_ENV", f"{env}\n{threads}".strip())
    return str(request.param)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Whether a test has failed is kept for its fixtures."""
    report = (yield).get_result()  # type: ignore[misc]
    item.stash.setdefault(FAILED, []).extend([report.when] if report.failed else [])


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """A factory: serve(app_source, *args, **options) starts a server in an empty directory.

    Every server is stopped at the end of the test, by pid, and must not leave a process behind.
    The logs of those of a failed test are printed.
    """
    servers: list[Server] = []

    def start(app: str | None = None, *args: str, **options: object) -> Server:
        server = Server(tmp_path, app, args, **options)  # type: ignore[arg-type]
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
    if request.node.stash.get(FAILED, []):
        for log in sorted(tmp_path.glob("*.log")):
            print(f"{log.name}:\n{log.read_text(errors='replace')[-20_000:]}")


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """What the hooks of story.py note in the test's folder."""
    return Story(tmp_path)
