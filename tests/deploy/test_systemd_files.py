# SPDX-License-Identifier: MIT
"""The unit files of examples/deploy, read by systemd's own tools where those are installed. They
are not installed for this: systemd is large, and most machines that run it have them."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cgunicorn.settings import SETTINGS
from front import DEPLOY, FLASK, example
from harness import PATIENCE, Client, Server, alive, children, poll, run_command

COMMAND = Path(sys.executable).parent / "cgunicorn"
UNITS = sorted(str(p.relative_to(DEPLOY)) for p in (DEPLOY / "systemd").rglob("*.*") if p.is_file())


def need(program: str) -> str:
    found = shutil.which(program)
    if not found:
        pytest.skip(f"{program} is not installed")
    return found


def assignments(path: str) -> dict[str, str]:
    """The last value of each key."""
    lines = (DEPLOY / path).read_text().splitlines()
    return dict(re.findall(r"^(\w+)=(.*)$", "\n".join(lines), re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the units, whose command is the one that is tested."""
    for path in UNITS:
        copy = tmp_path / Path(path).relative_to("systemd")
        copy.parent.mkdir(exist_ok=True)
        replaced = (
            [("/srv/myapp/venv/bin/cgunicorn", COMMAND)] if "ExecStart=" in example(path) else []
        )
        copy.write_text(example(path, *replaced))
    return tmp_path


def test_systemd_has_nothing_to_complain_about(folder: Path) -> None:
    done = subprocess.run(
        [need("systemd-analyze"), "verify", "./myapp.service", "./myapp.socket"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "myapp" in line]
    if "Failed to parse service type, ignoring: notify-reload" in done.stderr:
        # This systemd is older than 253, as which before-253.conf is for.
        complaints = [line for line in complaints if "notify-reload" not in line]
    assert (done.returncode, complaints) == (0, []), done.stderr


def test_the_service_is_confined(folder: Path) -> None:
    """Systemd's own mark: 10 is a service without any protection, 2 and less is called OK."""
    done = subprocess.run(
        [need("systemd-analyze"), "security", "--offline=yes", "--threshold=20", "./myapp.service"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge files")
    assert done.returncode == 0, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("path", UNITS)
def test_a_unit_has_sections_comments_and_assignments(path: str) -> None:
    for line in (DEPLOY / path).read_text().splitlines():
        assert re.fullmatch(r"|#.*|\[[A-Z][a-z]+\]|[A-Z]\w+=.*", line), line


def test_the_service_gets_the_time_that_requests_have() -> None:
    service = assignments("systemd/myapp.service")
    assert int(service["TimeoutStopSec"]) > SETTINGS["graceful_timeout"].default
    assert service["KillMode"] == "mixed"


def test_older_systemd_reloads_by_a_signal() -> None:
    assert assignments("systemd/myapp.service")["Type"] == "notify-reload"
    older = assignments("systemd/myapp.service.d/before-253.conf")
    assert older == {"Type": "notify", "ExecReload": "/bin/kill -HUP $MAINPID"}


def test_nginx_is_told_the_socket_that_systemd_opens() -> None:
    path = assignments("systemd/myapp.socket")["ListenStream"]
    for site in ("proxy-unix.conf", "static.conf"):
        assert f"unix:{path}" in example(f"nginx/{site}")


def test_the_command_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FLASK)
    _, *args = shlex.split(assignments("systemd/myapp.service")["ExecStart"])
    done = run_command(tmp_path, "--check-config", *args)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_socket_of_systemds_is_served(tmp_path: Path) -> None:
    """systemd-socket-activate opens the socket and starts the command when a client comes."""
    _, *args = shlex.split(assignments("systemd/myapp.service")["ExecStart"])
    activate = [need("systemd-socket-activate"), "-l", str(tmp_path / "app.sock")]
    server = Server(
        tmp_path, FLASK, args, bind=(), spec="", command=[*activate, str(COMMAND)], wait=False
    )
    with contextlib.closing(server):
        poll((tmp_path / "app.sock").exists, "the socket is there")
        with socket.socket(socket.AF_UNIX) as plain:
            plain.settimeout(PATIENCE)
            poll(lambda: plain.connect_ex(str(tmp_path / "app.sock")) == 0, "it listens")
            client = Client(plain)
            client.send_request("GET", "/pid")
            assert int(client.response().body) in children(server.pid)
            client.close()
        assert server.stop() == 0
        assert not alive(server.pid)
