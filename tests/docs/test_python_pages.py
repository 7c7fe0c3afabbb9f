# SPDX-License-Identifier: MIT
"""The Python of docs/hooks.md and docs/embedding.md is run: hooks fire, programs serve."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import shown
from harness import SHORT_TIMEOUT, Server, poll, run_command
from story import APP as STORY_APP
from story import RECORDER, Story

Serve = Callable[..., Server]

HOOKS = "docs/hooks.md"
ABORT = shown.block(HOOKS, "python", "import sys")
SHARED = shown.block(HOOKS, "python", "import gc")
MEMORY = shown.block(HOOKS, "python", "import resource")
ORDER = shown.block(HOOKS, "text", "nworkers_changed")
FIRST = shown.block("README.md", "python")
PROGRAM = shown.block("docs/embedding.md", "python", "import cgunicorn.app.base")

APP = """
import os, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(60)
    start_response("200 OK", [])
    if environ["PATH_INFO"] == "/index":
        return [b"%s %d" % (os.environ["WORKER_INDEX"].encode(), os.getpid())]
    return [b"hello"]
"""


@pytest.mark.parametrize("example", [ABORT, SHARED, MEMORY], ids=str)
def test_hooks_can_be_used(tmp_path: Path, example: shown.Block) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(example.text)
    done = run_command(tmp_path, "--check-config", "app:app")
    assert (done.returncode, done.stderr) == (0, "")


def start(serve: Serve, folder: Path, hooks: shown.Block, *args: str) -> Server:
    (folder / "gunicorn.conf.py").write_text(hooks.text)
    server = serve(APP, *args)
    assert server.get("/quick").status == 200
    return server


def end(server: Server) -> None:
    assert server.stop() == 0
    assert "Exception in" not in server.log


def test_stacks_of_a_worker_that_is_aborted_and_times(serve: Serve, tmp_path: Path) -> None:
    server = start(serve, tmp_path, ABORT, *SHORT_TIMEOUT)
    server.wait_log(r"/quick: 200 OK, 5 bytes in \d+\.\d{3} s")

    def are_told() -> bool:
        """Who stands still for a second then is killed before it has told them."""
        ends = server.log.count("was ended for its timeout")
        with server.connect() as client:
            client.send_request("GET", "/slow")
            server.wait_log("was ended for its timeout", count=ends + 1)
        return bool(re.search(r"\[ERROR\] Thread \d+:\n(.*\n)*?.*in app\n", server.log))

    poll(are_told, "the stacks")
    end(server)


def test_numbers_of_workers_are_used_again(serve: Serve, tmp_path: Path) -> None:
    server = start(serve, tmp_path, SHARED)
    server.wait_log("Serving with 2 workers")
    for n in (1, 2):
        index, pid = server.get("/index").body.split()
        os.kill(int(pid), signal.SIGKILL)
        gone = server.wait_log(r"Worker (\d+) has gone, its index was ([01])\n", count=n)
        assert (int(gone[1]), int(gone[2])) == (int(pid), int(index))
        server.wait_log("Booting worker", count=2 + n)
    end(server)


def test_a_worker_that_has_grown_makes_room(serve: Serve, tmp_path: Path) -> None:
    hooks = shown.Block("", 0, "python", MEMORY.text.replace("512 * 1024", "0"))
    assert hooks.text != MEMORY.text
    server = start(serve, tmp_path, hooks)
    server.wait_log("Worker exiting")
    end(server)


def test_order_of_the_hooks(serve: Serve, tmp_path: Path, story: Story) -> None:
    """Of one worker that is asked once and then gets INT, as on the page."""
    (tmp_path / "gunicorn.conf.py").write_text(RECORDER)
    server = serve(STORY_APP)
    assert server.get().status == 200
    # The client may have its answer a moment before the request is over.
    poll(lambda: "post_request" in [entry[0] for entry in story], "the request is over")
    assert server.stop(signal.SIGINT) == 0
    assert [entry[0] for entry in story] == re.findall(r"\w+", ORDER.text)


def test_every_hook_is_documented() -> None:
    page = (shown.ROOT / HOOKS).read_text()
    names = re.findall(r"^\| `(\w+)\(", page, re.MULTILINE)
    recorded = set(re.findall(r"^def ([a-z]\w*)\(", RECORDER, re.MULTILINE))
    assert recorded | {"pre_exec", "ssl_context"} == set(names)


def test_the_first_application(serve: Serve) -> None:
    server = serve(FIRST.text)
    assert server.get("/x").body == b"You asked for /x\n"
    assert server.stop(signal.SIGINT) == 0


def test_the_program_around_the_server(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM.text.replace(":8080", ":0"))
    server = serve(None, command=(sys.executable, "program.py"), bind=(), spec="")
    assert server.get().body == b"Works fine"
    server.wait_workers(4)
    assert server.stop() == 0
