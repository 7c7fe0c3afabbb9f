# SPDX-License-Identifier: MIT
"""A mistake on the command line or in a file: one sentence, the right exit code, no traceback."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll, server_environment
from harness import run_command as run
from users import AS_NOBODY, as_nobody

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


CASES = {
    "no-app": ([], 1, "No application module specified."),
    "bad-port": (["app:app", "-b", "127.0.0.1:zz"], 1, "'zz' is not a valid port number."),
    "port-range": (["app:app", "-b", "127.0.0.1:70000"], 1, "'70000' is not a valid port number."),
    "bad-host": (
        ["app:app", "-b", "no-such-host.invalid:0"],
        1,
        "('no-such-host.invalid', 0): this machine has no such address, or there is no host",
    ),
    "foreign-address": (["app:app", "-b", "192.0.2.1:0"], 1, "192.0.2.1"),
    "no-socket-dir": (["app:app", "-b", "unix:nowhere/x.sock"], 1, "nowhere/x.sock"),
    "socket-is-file": (
        ["app:app", "-b", "unix:app.py"],
        1,
        "Can't listen at app.py: a file that is no socket is in the way",
    ),
    "no-descriptor": (
        ["app:app", "-b", "fd://99"],
        1,
        "Can't listen at fd://99: nothing was passed on at this number",
    ),
    "negative": (["app:app", "-w", "-1"], 1, "Value must be positive: -1"),
    "not-a-number": (["app:app", "-w", "many"], 2, "many"),
    "unknown-flag": (["app:app", "--no-such-flag"], 2, "--no-such-flag"),
    "worker-class": (["app:app", "-k", "nope"], 1, "nope"),
    "worker-class-egg": (
        ["app:app", "-k", "egg:shop#mine"],
        1,
        "Invalid value for worker_class: 'egg:shop#mine' (from the command line, -k/--worker-class)"
        ": this version has the worker classes 'sync', 'async' and 'gthread'.",
    ),
    "config-missing": (["app:app", "-c", "nowhere.py"], 1, "nowhere.py"),
    "chdir": (["app:app", "--chdir", "nowhere"], 1, "nowhere"),
    "log-dir": (["app:app", "--error-logfile", "nowhere/e.log"], 1, "nowhere/e.log"),
    "log-empty": (
        ["app:app", "--error-logfile", ""],
        1,
        "Can't open the log '': No such file or directory.",
    ),
    "access-log-dir": (["app:app", "--access-logfile", "nowhere/a.log"], 1, "nowhere/a.log"),
    "pidfile-dir": (["app:app", "-p", "nowhere/x.pid"], 1, "nowhere doesn't exist."),
    "pidfile-is-code": (["app:app", "-p", "app.py"], 1, "app.py': what is there is no pidfile"),
    "pidfile-is-device": (["app:app", "-p", "/dev/zero"], 1, "what is there is no pidfile"),
    "pidfile-is-folder": (["app:app", "-p", "/tmp"], 1, "Can't create pidfile '/tmp': "),
    "chdir-is-file": (["app:app", "--chdir", "app.py"], 1, "can't chdir to 'app.py'"),
    "user": (["app:app", "--user", "no-such-user"], 1, "No such user: 'no-such-user'"),
    "group": (["app:app", "--group", "no-such-group"], 1, "No such group: 'no-such-group'"),
    "umask": (["app:app", "--umask", "99999"], 1, "Invalid value for umask: 99999"),
    "extra-file": (["app:app", "--reload-extra-file", "no.txt"], 1, "'no.txt' doesn't exist"),
    "statsd-port": (["app:app", "--statsd-host", "here:x"], 1, "Invalid value for statsd_host"),
    "syslog": (["app:app", "--log-syslog", "--log-syslog-to", "here"], 1, "unix://PATH, udp://"),
    "syslog-unset": (["app:app", "--log-syslog-facility", "mine"], 1, "it must be one of auth,"),
    "paste": (["--paste", "no.ini"], 1, "no.ini': No such file or directory"),
    "protocol": (["app:app", "--protocol", "ftp"], 1, "it must be one of auto, http, uwsgi."),
    "uwsgi-peers": (["app:app", "--uwsgi-allow-from", "10.0.0.1/8"], 1, "'10.0.0.1/8' is not an"),
    "raw-env": (["app:app", "-e", "NAME"], 1, "environment setting 'NAME' invalid"),
    "reload-engine": (["app:app", "--reload-engine", "x"], 1, "Invalid reload_engine: 'x'"),
    "config-module": (["app:app", "-c", "python:no_such"], 1, "No module named 'no_such'"),
    "reuse-port": (["app:app", "--reuse-port", "-b", "unix:nowhere/x"], 1, "no such folder"),
    "daemon-log": (["app:app", "-D", "--error-logfile", "nowhere/e"], 1, "nowhere/e"),
    "daemon-socket": (["app:app", "-D", "-b", "unix:nowhere/x"], 1, "no such folder"),
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
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["app.py"]


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


@pytest.mark.parametrize("name", ["certfile", "keyfile", "ssl_context"])
def test_tls_is_refused_by_saying_what_to_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text(f"\n{name} = 'something'\n")
    done = run(tmp_path, "app:app", "--check-config")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: Invalid value for {name}: 'something' (from gunicorn.conf.py:2): this version does"
        " not speak TLS; let a proxy such as nginx end TLS in front of it, and take this setting"
        " away.\n"
    )


def test_setting_without_effect_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text("import syslog\ndirty_workers = 2\nroot_path = ''\n")
    done = run(tmp_path, "app:app", "--check-config", "--no-control-socket")
    assert done.returncode == 0
    assert done.stderr == (
        "Warning: dirty_workers (from gunicorn.conf.py) has no effect here: run long work in a task"
        " queue such as Celery or RQ.\n"
        "Warning: control_socket_disable (from the command line) has no effect here: there is no"
        " control socket, the server is controlled by signals.\n"
    )


def test_folder_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "gunicorn.conf.py").write_text("tmp_upload_dir = 'x' * 300\n")
    done = run(tmp_path, "app:app", "--check-config")
    assert done.returncode == 1
    assert done.stderr.endswith("xxx' can't be used: File name too long.\n")
    assert "Traceback" not in done.stderr


# The surroundings a process is born into


def run_in_shell(directory: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in which $cgunicorn is the command."""
    return subprocess.run(
        ["sh", "-c", script],
        cwd=directory,
        env={**server_environment(), "cgunicorn": f"{sys.executable} -m cgunicorn"},
        capture_output=True,
        text=True,
    )


def test_deleted_working_folder_is_told(tmp_path: Path) -> None:
    done = run_in_shell(tmp_path, "mkdir gone && cd gone && rmdir ../gone && $cgunicorn app:app")
    assert done.returncode == 1
    assert done.stderr.endswith("Error: The working folder is gone: No such file or directory.\n")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("flag", ["--version", "--print-config"])
def test_full_standard_output_is_told(tmp_path: Path, flag: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = run_in_shell(tmp_path, f"$cgunicorn app:app {flag} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == "Error: Can't write to standard output: No space left on device.\n"


@pytest.mark.parametrize("flag", ["--version", "--print-config", "--check-config", "--help"])
def test_closed_standard_streams_do_no_harm(tmp_path: Path, flag: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = run_in_shell(tmp_path, f"$cgunicorn app:app {flag} <&- >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_standard_streams_are_not_taken_by_sockets(
    serve: Callable[..., Server], worker_class: str
) -> None:
    """Else what the application prints goes to a client, or to whoever waits at a pipe."""
    app = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [" ".join(os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)).encode()]
"""
    command = [
        "sh",
        "-c",
        'exec "$0" "$@" --error-logfile error.log <&- >&- 2>&-',
        sys.executable,
        "-m",
        "cgunicorn",
    ]
    server = serve(app, "-k", worker_class, command=command, bind="unix:app.sock", wait=False)
    server.log_path = server.directory / "error.log"
    poll(server.log_path.exists, "the log is open")
    server.wait_listening()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(server.directory / "app.sock"))
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        s.shutdown(socket.SHUT_WR)
        answer = s.makefile("rb").read()
    assert answer.endswith(b"\r\n\r\n/dev/null /dev/null /dev/null")


def test_socket_path_may_have_any_bytes(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve(APP, bind="unix:s\udcff\udcc3.sock")
    assert (tmp_path / "s\udcff\udcc3.sock").is_socket()
    assert server.stop(signal.SIGTERM) == 0
    assert not list(tmp_path.glob("*.sock"))


@as_nobody
def test_start_folder_of_another_user_is_no_obstacle(tmp_path: Path) -> None:
    """As `sudo -u www-data cgunicorn --chdir /srv/site` in root's own folder."""
    with contextlib.ExitStack() as stack:
        # The folders of pytest are root's alone.
        site = Path(tempfile.mkdtemp(prefix="cgunicorn-test-", dir="/tmp"))
        stack.callback(shutil.rmtree, site)
        site.chmod(0o755)
        (site / "app.py").write_text(APP)
        (tmp_path / "private").mkdir(mode=0o700)
        other = f"{' '.join(AS_NOBODY)} $cgunicorn"
        done = run_in_shell(tmp_path / "private", f"{other} --chdir {site} app:app --check-config")
        assert (done.returncode, done.stderr) == (0, "")
        done = run_in_shell(tmp_path / "private", f"{other} app:app --check-config")
    told = f"Error: can't chdir to '{tmp_path}/private': Permission denied.\n"
    assert (done.returncode, done.stderr) == (1, told)
