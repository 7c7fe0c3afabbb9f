# SPDX-License-Identifier: MIT
"""The `kill` lines of docs/upgrade.md are typed, one after the other, and the log says what the
page says; so with the lines of the log on other pages."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shown
from harness import PATIENCE, Server, alive, children, poll
from shown import Block

Serve = Callable[..., Server]

UPGRADE = "docs/upgrade.md"
UPGRADING = shown.block(UPGRADE, "sh", "kill -USR2 $(cat server.pid)          # 1.")
TRYING = shown.block(UPGRADE, "sh", "kill -USR2 $(cat server.pid)\n")
BROKEN = shown.block(UPGRADE, "text")
RELOADING = shown.block("docs/development.md", "text")

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getppid()).encode()]
"""


def as_pattern(line: str) -> str:
    """A line of the log on a page, whatever its numbers and folders are."""
    pattern = re.sub(r"\d+", r"\\d+", re.escape(line))
    return re.sub(r"/srv/app/", "/.*/", pattern)


class Typist:
    """Types the lines of a block beside a server."""

    def __init__(self, server: Server, block: Block) -> None:
        self.server = server
        self.lines = iter(block.text.splitlines())

    def pid(self, name: str = "server.pid") -> int:
        return int((self.server.directory / name).read_text())

    def type_one(self, *words: str) -> None:
        """The next line, which has these words."""
        line = next(self.lines)
        assert all(word in line for word in words), line
        command = ["sh", "-e", "-c", line]
        subprocess.run(command, cwd=self.server.directory, check=True, timeout=PATIENCE)

    def wait_for_shown(self) -> None:
        """The next line, which tells what the log says."""
        text = re.search(r'# \d\. the log: "(.*)"', next(self.lines))
        assert text
        self.wait_log(as_pattern(text[1]))

    def wait_log(self, pattern: str) -> None:
        """Also when the first master has ended."""
        poll(lambda: re.search(pattern, self.server.log), pattern)

    def ask(self) -> int:
        """The master of the worker that answers."""
        return int(self.server.get().body)

    def close(self) -> None:
        for path in self.server.directory.glob("server.pid*"):
            pid = int(path.read_text())
            subprocess.run(["kill", "-KILL", str(pid)], check=False, stderr=subprocess.DEVNULL)
            poll(lambda pid=pid: not alive(pid), f"master {pid} ends")


@pytest.fixture
def typist(serve: Serve) -> Iterator[Callable[[Block], Typist]]:
    made: list[Typist] = []

    def start(block: Block) -> Typist:
        made.append(Typist(serve(APP, "--pid", "server.pid"), block))
        assert made[-1].ask() == made[-1].pid()
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_an_upgrade(typist: Callable[[Block], Typist]) -> None:
    t = typist(UPGRADING)
    old = t.pid()
    t.type_one("-USR2")
    t.wait_for_shown()
    new = t.pid("server.pid.2")
    t.type_one("-TERM")
    t.wait_for_shown()
    poll(lambda: not alive(old), "the old master ends")
    # It takes the name of the file when it has told that it is promoted.
    renamed = t.server.directory / "server.pid.2"
    poll(lambda: not renamed.exists(), "the pidfile has its name again")
    assert (t.pid(), t.ask()) == (new, new)
    assert next(t.lines, None) is None


def test_trying_before_deciding(typist: Callable[[Block], Typist]) -> None:
    t = typist(TRYING)
    old = t.pid()
    t.type_one("-USR2")
    t.wait_log("Upgraded: the new workers are ready")
    new = t.pid("server.pid.2")
    t.type_one("-WINCH")
    poll(lambda: [p for p in children(old) if alive(p)] == [new], "the old workers end")
    assert t.ask() == new
    t.type_one("-HUP")
    t.wait_log("Reloaded: the new workers are ready")
    t.type_one("-TERM", "server.pid.2")
    poll(lambda: not alive(new), "the new master ends")
    assert (t.pid(), t.ask()) == (old, old)
    assert next(t.lines, None) is None


def test_a_new_master_that_does_not_come_up(serve: Serve) -> None:
    server = serve(APP)
    assert server.get().status == 200
    (server.directory / "app.py").write_text("raise RuntimeError('broken')\n")
    subprocess.run(["kill", "-USR2", str(server.pid)], check=True)
    server.wait_log(as_pattern(BROKEN.text.strip()))


def test_a_reload_of_code_that_has_changed(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "views.py").write_text("")
    server = serve("import views\n" + APP, "--reload")
    assert server.get().status == 200
    (tmp_path / "views.py").write_text("changed = True\n")
    for line in RELOADING.text.splitlines():
        server.wait_log(as_pattern(line))
