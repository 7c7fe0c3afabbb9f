# SPDX-License-Identifier: MIT
"""A mistake on the command line or in a file: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from harness import run_command as run

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


CASES = {
    "no-app": ([], 1, "No application module specified."),
    "bad-port": (["app:app", "-b", "127.0.0.1:zz"], 1, "'zz' is not a valid port number."),
    "port-range": (["app:app", "-b", "127.0.0.1:70000"], 1, "'70000' is not a valid port number."),
    "bad-host": (["app:app", "-b", "no-such-host.invalid:0"], 1, "no-such-host.invalid"),
    "foreign-address": (["app:app", "-b", "192.0.2.1:0"], 1, "192.0.2.1"),
    "no-socket-dir": (["app:app", "-b", "unix:nowhere/x.sock"], 1, "nowhere/x.sock"),
    "socket-is-file": (["app:app", "-b", "unix:app.py"], 1, "app.py"),
    "negative": (["app:app", "-w", "-1"], 1, "Value must be positive: -1"),
    "not-a-number": (["app:app", "-w", "many"], 2, "many"),
    "unknown-flag": (["app:app", "--no-such-flag"], 2, "--no-such-flag"),
    "worker-class": (["app:app", "-k", "nope"], 1, "nope"),
    "config-missing": (["app:app", "-c", "nowhere.py"], 1, "nowhere.py"),
    "chdir": (["app:app", "--chdir", "nowhere"], 1, "nowhere"),
    "log-dir": (["app:app", "--error-logfile", "nowhere/e.log"], 1, "nowhere/e.log"),
    "access-log-dir": (["app:app", "--access-logfile", "nowhere/a.log"], 1, "nowhere/a.log"),
}


@pytest.mark.parametrize("case", CASES)
def test_mistake_is_one_sentence(tmp_path: Path, case: str) -> None:
    args, code, told = CASES[case]
    (tmp_path / "app.py").write_text(APP)
    done = run(tmp_path, *args)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "app.py").read_text() == APP


def test_port_in_use(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        done = run(tmp_path, "app:app", "-b", f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"Connection in use: ('127.0.0.1', {port})" in done.stderr
    assert f"Can't connect to ('127.0.0.1', {port})" in done.stderr
    assert "Traceback" not in done.stderr


def test_living_socket_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "x.sock"))
        s.listen()
        done = run(tmp_path, "app:app", "-b", "unix:x.sock")
        assert done.returncode == 1
        assert "x.sock" in done.stderr
        assert (tmp_path / "x.sock").is_socket()


def test_config_that_raises_shows_its_own_traceback(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text("workers = 1\nraise KeyError('mine')\n")
    done = run(tmp_path, "app:app")
    assert done.returncode == 1
    assert "KeyError: 'mine'" in done.stderr and "gunicorn.conf.py" in done.stderr
    assert "cgunicorn/config.py" not in done.stderr


def test_bad_value_in_a_config_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "cgunicorn.conf.py").write_text("timeout = 'soon'\n")
    done = run(tmp_path, "app:app")
    assert done.returncode == 1
    for part in ("timeout", "soon", "cgunicorn.conf.py"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
