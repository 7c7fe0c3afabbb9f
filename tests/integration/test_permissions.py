# SPDX-License-Identifier: MIT
"""What a user who is not root may not do: said in one sentence, which names it, before anything is
served; and a server that runs goes on when a reload finds it."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Server
from users import AS_NOBODY, as_nobody, run_as_nobody

pytestmark = as_nobody

COMMAND = [*AS_NOBODY, sys.executable, "-m", "cgunicorn"]

APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getppid()).encode()]
"""

BIND = "bind = '127.0.0.1:0'"

#: A line of the configuration, and the sentence about it.
REFUSED = {
    "pidfile": ("pidfile = 'closed/x.pid'", "Can't create pidfile '{0}/closed/x.pid': {1}"),
    "living-pidfile": ("pidfile = 'living.pid'", "Already running on PID {2} (or pid file"),
    "error-log": ("errorlog = 'closed/e.log'", "Can't open the log 'closed/e.log': {1}."),
    "access-log": ("accesslog = 'closed/a.log'", "Can't open the log 'closed/a.log': {1}."),
    "log-of-root": ("errorlog = 'root.txt'", "Can't open the log 'root.txt': {1}."),
    "log-config": ("logconfig = 'secret.txt'", "logconfig: 'secret.txt' (from conf.py:"),
    "locked-log-config": ("logconfig = 'locked/x'", "it can't be read: {1}."),
    "syslog": ("syslog, syslog_addr = True, 'unix:///nowhere/log'", "nobody listens there."),
    "socket": ("bind = 'unix:closed/x.sock'", "Can't listen at closed/x.sock: {1}"),
    "folder": ("chdir = 'locked'", "can't chdir to '{0}/locked': {1}."),
    "uploads": ("tmp_upload_dir = 'closed'", "can't write to tmp_upload_dir, {0}/closed."),
    "certificate": ("certfile = 'secret.txt'", "certfile"),
    "user": ("user = 'root'", "Can't run workers as user 0 and group 65534: Operation not"),
    "group": ("group = 'root'", "Can't run workers as user 65534 and group 0: Operation not"),
    "no-user": ("user = 'no-such-one'", "No such user: 'no-such-one'"),
    "included": ("exec(open('secret.txt').read())", "[Errno 13] {1}: 'secret.txt'"),
}

#: The old one stays in use, or in force, and all else is as is wanted.
KEPT_AT_A_RELOAD = {
    "pidfile": "Can't create pidfile '{0}/closed/x.pid': {1}",
    "living-pidfile": "Already running on PID {2} (or pid file",
    "error-log": "Can't open the log closed/e.log, the old logs stay in use: {1}",
    "access-log": "Can't open the log closed/a.log, the old logs stay in use: {1}",
    "log-of-root": "Can't open the log root.txt, the old logs stay in use: {1}",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Root's: everybody may read what is in it but `locked` and secret.txt."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        (path / "closed").mkdir(0o755)
        (path / "locked").mkdir(0o700)
        (path / "root.txt").touch(0o644)
        (path / "secret.txt").touch(0o600)
        (path / "living.pid").write_text(f"{os.getpid()}\n")
        (path / "app.py").write_text(APP)
        yield path


def told(folder: Path, sentence: str) -> str:
    return sentence.format(folder, "Permission denied", os.getpid())


@pytest.mark.parametrize("name", REFUSED)
def test_the_start_is_refused_in_one_sentence(folder: Path, name: str) -> None:
    line, sentence = REFUSED[name]
    (folder / "conf.py").write_text(f"{BIND}\n{line}\n")
    done = run_as_nobody("-c", "conf.py", "app:app", folder=folder)
    said = [row for row in done.stderr.splitlines() if " [INFO] " not in row]
    assert done.returncode == 1, done.stderr
    assert told(folder, sentence) in "\n".join(said)
    if name != "included":  # an exception in the user's own file shows where
        assert len(said) == 1, done.stderr


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    """With the settings of conf.py, as that user."""
    (folder / "conf.py").write_text(BIND)
    made = Server(folder, None, ["-c", "conf.py"], command=COMMAND, bind=[])
    yield made
    made.close()


@pytest.mark.parametrize("name", [n for n in REFUSED if n not in KEPT_AT_A_RELOAD])
def test_a_reload_is_given_up_in_one_sentence(server: Server, folder: Path, name: str) -> None:
    line, sentence = REFUSED[name]
    assert int(server.get().body) == server.pid
    workers = server.workers()
    (folder / "conf.py").write_text(f"{BIND}\n{line}\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on")
    assert told(folder, sentence) in server.log
    assert server.workers() == workers
    assert int(server.get().body) == server.pid
    (folder / "conf.py").write_text(BIND)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.stop() == 0


@pytest.mark.parametrize("name", KEPT_AT_A_RELOAD)
def test_a_reload_keeps_the_file_that_it_had(server: Server, folder: Path, name: str) -> None:
    assert int(server.get().body) == server.pid
    (folder / "conf.py").write_text(f"{BIND}\n{REFUSED[name][0]}\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    server.wait_log(re.escape(told(folder, KEPT_AT_A_RELOAD[name])))
    assert int(server.get().body) == server.pid
    assert server.stop() == 0
