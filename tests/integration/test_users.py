# SPDX-License-Identifier: MIT
"""Whose processes the workers are, and whose the files."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from ast import literal_eval
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server, poll, refused
from users import as_nobody, run_as_nobody

Serve = Callable[..., Server]

APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

#: Imports nothing that is not there yet: the interpreter may lie where only root can read.
IDENTITY_APP = """
import os
LOADED_AS = os.getuid()
def app(environ, start_response):
    ids = [list(os.getresuid()), list(os.getresgid()), sorted(os.getgroups()), LOADED_AS]
    body = repr(ids).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def tmp_open() -> Iterator[Path]:
    """A folder that every user may read; pytest's are for their owner alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def serve_to_all(tmp_open: Path) -> Iterator[Callable[..., Server]]:
    """serve() in that folder."""
    servers: list[Server] = []

    def start(app: str, *args: str, **options: object) -> Server:
        servers.append(Server(tmp_open, app, args, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@as_root
@pytest.mark.parametrize("user", ["nobody", "65534"])
def test_workers_run_as_user_and_group_and_the_master_stays_root(
    serve_to_all: Serve, user: str, worker_class: str
) -> None:
    server = serve_to_all(IDENTITY_APP, "-u", user, "-g", "65533", "-k", worker_class)
    ids = literal_eval(server.get().body.decode())
    assert ids == [[65534] * 3, [65533] * 3, [65533], 65534]
    assert owner(server.pid) == 0


@as_root
def test_groups_of_root_are_given_up_without_initgroups_too(serve_to_all: Serve) -> None:
    command = ["setpriv", "--groups=0,4,20", sys.executable, "-m", "cgunicorn"]
    server = serve_to_all(IDENTITY_APP, "-u", "nobody", command=command)
    assert literal_eval(server.get().body.decode())[2] == [0]


@as_root
def test_initgroups_gives_the_groups_of_the_user(serve_to_all: Serve) -> None:
    server = serve_to_all(IDENTITY_APP, "-u", "nobody", "-g", "65533", "--initgroups")
    assert literal_eval(server.get().body.decode())[2] == sorted(os.getgrouplist("nobody", 65533))


@as_root
def test_without_user_and_group_nothing_changes(serve: Serve) -> None:
    command = ["setpriv", "--groups=0,4", sys.executable, "-m", "cgunicorn"]
    server = serve(IDENTITY_APP, command=command)
    assert literal_eval(server.get().body.decode()) == [[0] * 3, [0] * 3, [0, 4], 0]


def test_unknown_user_or_group_is_told(tmp_path: Path) -> None:
    assert "No such user: 'no-such-one'" in refused(tmp_path, "-u", "no-such-one")
    assert "No such group: 'no-such-one'" in refused(tmp_path, "-g", "no-such-one")


@as_root
def test_initgroups_for_a_user_without_a_name_is_told(tmp_path: Path) -> None:
    text = refused(tmp_path, "-u", "54321", "--initgroups")
    assert "initgroups needs the name of user 54321, and the system knows none." in text


@as_nobody
@pytest.mark.parametrize("args", [["-u", "root"], ["-g", "root"], ["-u", "1", "-g", "1"]])
def test_who_may_not_change_user_is_told_before_anything_starts(
    tmp_path: Path, args: list[str]
) -> None:
    (tmp_path / "app.py").write_text(APP)
    tmp_path.chmod(0o777)
    done = run_as_nobody("-p", str(tmp_path / "x.pid"), *args, "app")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Can't run workers as user ")
    assert "Operation not permitted (this is user 65534, group 65534)." in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.pid").exists()


@as_root
def test_an_upload_folder_that_workers_can_not_write_is_told(tmp_open: Path) -> None:
    (tmp_open / "uploads").mkdir(0o755)
    (tmp_open / "gunicorn.conf.py").write_text("tmp_upload_dir = 'uploads'\n")
    text = refused(tmp_open, "-u", "nobody")
    where = f"can't write to tmp_upload_dir, {tmp_open}/uploads.\n"
    assert text == f"Error: Workers, as user 65534 and group 0, {where}"


@as_root
def test_a_reload_with_an_upload_folder_that_workers_can_not_write_is_given_up(
    serve_to_all: Serve, tmp_open: Path
) -> None:
    folder = tmp_open / "uploads"
    folder.mkdir(0o777)
    folder.chmod(0o777)
    config = tmp_open / "gunicorn.conf.py"
    config.write_text("user = 'nobody'\n")
    server = serve_to_all(APP)
    before = server.wait_workers(1)
    config.write_text("user = 'nobody'\ntmp_upload_dir = 'uploads'\n")
    folder.chmod(0o755)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on")
    assert "Workers, as user 65534 and group 0, can't write to tmp_upload_dir" in server.log
    assert server.workers() == before
    folder.chmod(0o777)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")


TALKING_APP = """
def app(environ, start_response):
    print("printed", environ["PATH_INFO"], flush=True)
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("in the app")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


@as_root
def test_logs_belong_to_the_user_and_can_be_rotated(
    serve_to_all: Serve, tmp_open: Path, worker_class: str
) -> None:
    logs = tmp_open / "logs"
    logs.mkdir()
    error, access = logs / "error", logs / "access"
    error.touch(0o600)  # root's, as an earlier start left it
    server = serve_to_all(
        TALKING_APP,
        *("-u", "nobody", "-g", "65533", "-k", worker_class, "--capture-output"),
        *("--error-logfile", str(error), "--access-logfile", str(access)),
        wait=False,
    )
    server.wait_listening_in(error)
    server.get("/before")
    poll(lambda: "GET /before" in access.read_text(), "what comes after the answer is done too")
    # As logrotate does it with "create 0600 root root".
    for file in (error, access):
        file.rename(file.with_suffix(".1"))
        file.touch(0o600)
    server.send_signal(signal.SIGUSR1)

    def is_reopened() -> bool:
        # A request that is under way when the signal comes may have its lines in either file.
        server.get("/fail")
        text = error.read_text()
        lines = ("RuntimeError: in the app", "printed /fail")
        return all(line in text for line in lines) and "GET /fail" in access.read_text()

    poll(is_reopened, "the worker writes into the new logs")
    assert "printed /before" in error.with_suffix(".1").read_text()
    assert "GET /before" in access.with_suffix(".1").read_text()
    for file in (error, access, error.with_suffix(".1"), access.with_suffix(".1")):
        assert (file.stat().st_uid, file.stat().st_gid) == (65534, 65533), file
    assert "Can't" not in error.read_text()


@as_root
def test_reload_gives_the_logs_to_another_user(serve_to_all: Serve, tmp_open: Path) -> None:
    config = tmp_open / "gunicorn.conf.py"
    config.write_text("user = 'nobody'\n")
    log = tmp_open / "error"
    server = serve_to_all(APP, "--error-logfile", "error", wait=False)
    server.wait_listening_in(log)
    assert log.stat().st_uid == 65534
    config.write_text("user = 4321\n")
    server.send_signal(signal.SIGHUP)
    poll(lambda: "Reloaded: " in log.read_text(), "the reload")
    assert log.stat().st_uid == 4321


@as_root
def test_reload_with_a_broken_user_keeps_the_old_workers(
    serve_to_all: Serve, tmp_open: Path
) -> None:
    config = tmp_open / "gunicorn.conf.py"
    config.write_text("user = 'nobody'\n")
    server = serve_to_all(IDENTITY_APP)
    before = server.wait_workers(1)
    config.write_text("user = 'no-such-one'\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on")
    assert "No such user: 'no-such-one'" in server.log
    assert "Traceback" not in server.log
    assert server.workers() == before
    assert literal_eval(server.get().body.decode())[3] == 65534


@as_root
def test_reload_changes_the_user_of_new_workers(serve_to_all: Serve, tmp_open: Path) -> None:
    config = tmp_open / "gunicorn.conf.py"
    config.write_text("user = 'nobody'\n")
    server = serve_to_all(IDENTITY_APP)
    config.write_text("user = 54321\n")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")
    server.wait_workers(1)
    assert literal_eval(server.get().body.decode())[0] == [54321] * 3
