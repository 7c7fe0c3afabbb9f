# SPDX-License-Identifier: MIT
"""A real supervisord keeps the server: the program sections of examples/deploy and of the posts
that people copy from."""

from __future__ import annotations

import os
import pwd
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from front import FLASK, example
from harness import PATIENCE, Client, alive, children, poll
from supervisord import Supervisord

#: As in posts about Flask with supervisord, with Gunicorn in the place of cgunicorn.
POSTED = """
[program:myapp]
directory={folder}
command=cgunicorn app:app -b 0.0.0.0:22222
autostart=true
autorestart=true
stderr_logfile={folder}/err.log
stdout_logfile={folder}/out.log
"""

COMMAND = Path(sys.executable).parent / "cgunicorn"


def posted(folder: Path) -> str:
    return POSTED.format(folder=folder).replace(":22222", ":0")


def ours(folder: Path) -> str:
    return example(
        "supervisor/myapp.conf",
        ("/srv/myapp/venv/bin/cgunicorn", COMMAND),
        ("directory=/srv/myapp", f"directory={folder}"),
        ("0.0.0.0:22222", "0.0.0.0:0"),
        ("user=www-data", f"user={pwd.getpwuid(os.geteuid()).pw_name}"),
        ("/var/log/supervisor/myapp-out.log", folder / "out.log"),
        ("/var/log/supervisor/myapp-err.log", folder / "err.log"),
    )


class Program:
    """supervisord with our server under it."""

    def __init__(self, folder: Path, section: str) -> None:
        (folder / "app.py").write_text(FLASK)
        self.folder = folder
        self.supervisord = Supervisord(folder, section)
        self.master = self.supervisord.wait_running()

    def output(self, name: str = "err.log") -> str:
        return (self.folder / name).read_text()

    def wait_output(self, pattern: str, name: str = "err.log", count: int = 1) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            found = list(re.finditer(pattern, self.output(name)))
            return found[count - 1] if len(found) >= count else None

        return poll(look, f"{pattern} in {name}")  # type: ignore[return-value]

    def connect(self, start: int = 1) -> Client:
        """To the server that was started as the start-th."""
        listening = r"Listening at: http://0\.0\.0\.0:(\d+) "
        port = int(self.wait_output(listening, count=start).group(1))
        return Client(socket.create_connection(("127.0.0.1", port), PATIENCE))

    def get(self, target: str, start: int = 1) -> bytes:
        with self.connect(start) as client:
            client.send_request("GET", target)
            response = client.response()
        assert response.status == 200
        return response.body

    def processes(self) -> list[int]:
        return [self.master, *children(self.master)]

    def wait_gone(self, pids: list[int]) -> None:
        for pid in pids:
            poll(lambda pid=pid: not alive(pid), f"process {pid} ends")


@pytest.fixture(params=[posted, ours], ids=["posted", "example"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path, request.param(tmp_path))
    yield made
    made.supervisord.close()


def test_it_serves_and_stops_and_starts(program: Program) -> None:
    assert int(program.get("/pid")) in children(program.master)
    pids = program.processes()
    assert "stopped" in program.supervisord.ctl("stop", "myapp")
    assert program.supervisord.state == "STOPPED"
    program.wait_gone(pids)
    assert "Handling signal: term" in program.output()
    assert "stopped: myapp (exit status 0)" in program.supervisord.log
    assert "started" in program.supervisord.ctl("start", "myapp")
    program.master = program.supervisord.wait_running(program.master)
    assert int(program.get("/pid", start=2)) in children(program.master)


def test_restart_leaves_no_orphans(program: Program) -> None:
    program.get("/pid")
    pids = program.processes()
    program.supervisord.ctl("restart", "myapp")
    program.wait_gone(pids)
    program.master = program.supervisord.wait_running(program.master)
    assert int(program.get("/pid", start=2)) in children(program.master)


def test_signal_hup_takes_up_new_code(program: Program) -> None:
    old = int(program.get("/pid"))
    (program.folder / "app.py").write_text(FLASK.replace("str(os.getpid())", "'new code'"))
    program.supervisord.ctl("signal", "HUP", "myapp")
    poll(lambda: not alive(old), "the old worker ends")
    assert program.get("/pid") == b"new code"
    assert program.supervisord.wait_running() == program.master


def test_what_is_printed_is_in_the_log_at_once(program: Program) -> None:
    program.get("/print?text=one-line")
    program.wait_output("PRINTED one-line", "out.log")
    program.wait_output(r"\[INFO\] Booting worker with pid")
    assert alive(program.master)


def test_a_request_is_finished_before_the_stop(program: Program) -> None:
    with program.connect() as client:
        client.send_request("GET", "/hold?n=7")
        poll((program.folder / "entered-7").exists, "the request is in the application")
        program.supervisord.process.send_signal(signal.SIGTERM)
        program.wait_output("Handling signal: term")
        (program.folder / "go").touch()
        assert client.response().body == b"7"
    assert program.supervisord.process.wait(PATIENCE) == 0


def test_a_killed_master_leaves_no_worker_and_is_started_again(program: Program) -> None:
    program.get("/pid")
    workers = children(program.master)
    os.kill(program.master, signal.SIGKILL)
    program.wait_gone(workers)
    program.master = program.supervisord.wait_running(program.master)
    assert int(program.get("/pid", start=2)) in children(program.master)
    assert "terminated by SIGKILL; not expected" in program.supervisord.log


def test_an_application_that_can_not_be_loaded_ends_in_a_state_that_says_so(
    tmp_path: Path,
) -> None:
    """Exit code 3: supervisord tries some times, and then tells FATAL."""
    section = posted(tmp_path).replace("app:app", "broken:app")
    section += "startretries=1\nstartsecs=20\n"  # in which it ends, however slow it is
    (tmp_path / "broken.py").write_text("raise RuntimeError('no such luck')\n")
    supervisord = Supervisord(tmp_path, section)
    try:
        poll(lambda: supervisord.state == "FATAL", "supervisord gives up")
        assert "exit status 3; not expected" in supervisord.log
        assert "RuntimeError: no such luck" in (tmp_path / "err.log").read_text()
    finally:
        supervisord.close()


def test_supervisord_in_the_foreground_takes_everything_with_it(program: Program) -> None:
    """As in a container that is stopped."""
    program.get("/pid")
    pids = program.processes()
    assert program.supervisord.stop() == 0
    program.wait_gone(pids)
