# SPDX-License-Identifier: MIT
"""The files of examples/deploy/docker. Images are not built here: that needs a container engine and
a registry. What can be shown without is: the files name what there is, and the image's command runs
as it would in a container, as process 1 of a user without rights on a root that is read-only."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cgunicorn import cpus
from cgunicorn.settings import SETTINGS
from front import DEPLOY, example
from harness import PATIENCE, Server, alive, children, poll

DOCKER = DEPLOY / "docker"
TOP = DEPLOY.parents[1]

#: Instructions of a Dockerfile: https://docs.docker.com/reference/dockerfile/
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK"}
INSTRUCTIONS |= {"ENTRYPOINT", "CMD"}


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them, continued lines joined."""
    text = "\n".join(
        line for line in example("docker/Dockerfile").splitlines() if not line.startswith("#")
    )
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines if line]


def last(instruction: str) -> str:
    return [rest for name, rest in dockerfile() if name == instruction][-1]


def healthcheck() -> list[str]:
    return json.loads(last("HEALTHCHECK").partition(" CMD ")[2])


def test_the_dockerfile_has_known_instructions() -> None:
    assert {name for name, _ in dockerfile()} == INSTRUCTIONS
    assert dockerfile()[0][0] == "FROM"


def test_no_shell_stands_between_the_engine_and_the_server() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["cgunicorn"]
    assert json.loads(last("CMD"))[-1] == "app:app"


def test_the_image_is_not_root_by_a_number() -> None:
    user, group = map(int, last("USER").split(":"))
    assert user and group


def test_what_is_copied_exists() -> None:
    copied = [rest.split()[0] for name, rest in dockerfile() if name == "COPY" and "--" not in rest]
    assert "examples/flask_app" in copied
    assert all((TOP / path).exists() for path in copied)
    assert (TOP / "examples/flask_app/requirements.txt").exists()


def test_compose_names_files_that_exist_and_gives_time_to_stop() -> None:
    compose = (DOCKER / "compose.yaml").read_text()
    [context] = re.findall(r"context: (\S+)", compose)
    assert (DOCKER / context).resolve() == TOP
    [path] = re.findall(r"dockerfile: (\S+)", compose)
    assert (TOP / path).is_file()
    assert (DOCKER / "nginx.conf").is_file() and "./nginx.conf:" in compose
    [seconds] = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert int(seconds) > SETTINGS["graceful_timeout"].default


# The image's command in a container-like place

#: Makes a root that is this machine's, read-only but for /tmp, and the application's folder in it;
#: then becomes a user that has no rights, and the command: process 1. $1: the folder that the root
#: is made in, $2: this repository, $3: the application.
ENTER = """
set -e
root=$1/root
mount --make-rprivate /
mkdir "$root"
mount --rbind / "$root"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
mount -t tmpfs tmpfs "$root/tmp"
mkdir -p "$root$2"
mount --rbind "$2" "$root$2"
mount --bind "$3" "$root/mnt"
mount -o remount,bind,ro "$root/mnt"
shift 3
exec unshare --user --map-user=65534 --map-group=65534 --root="$root" --wd=/mnt "$@"
"""

NAMESPACES = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork"]

APP = """
import os
from app_of_example import app

@app.get("/inside")
def inside():
    writable = {}
    for folder in ("/", "/mnt", "/tmp"):
        try:
            path = os.path.join(folder, "probe")
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
            writable[folder] = True
        except OSError as error:
            writable[folder] = error.strerror
    return {"writable": writable, "uid": os.getuid(), "parent": os.getppid()}
"""


def can_enter() -> bool:
    inner = "unshare --user --map-user=65534 --map-group=65534 --root=/ --wd=/ true"
    mounts = "mount --make-rprivate / && mount -t tmpfs tmpfs /tmp"
    try:
        done = subprocess.run(
            [*NAMESPACES, "sh", "-c", f"{mounts} && {inner}"], capture_output=True
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


@pytest.fixture
def container(serve: Callable[..., Server], tmp_path: Path) -> Server:
    """The image's ENTRYPOINT and CMD, but for the address. `pid` is the master's, as it is called
    out here."""
    if not can_enter():
        pytest.skip("no user, mount and process namespaces can be made here")
    app = tmp_path / "app"
    shutil.copytree(TOP / "examples" / "flask_app", app)
    (app / "app.py").rename(app / "app_of_example.py")
    (app / "app.py").write_text(APP)
    args = json.loads(last("CMD"))
    at = args.index("-b")
    assert args.pop() == "app:app" and args[at + 1] == "0.0.0.0:8000"
    [entry] = json.loads(last("ENTRYPOINT"))
    command = [*NAMESPACES, "sh", "-c", ENTER, "sh", str(tmp_path), str(TOP), str(app)]
    command.append(str(Path(sys.executable).parent / entry))
    server = serve(None, *args[:at], *args[at + 2 :], command=command)
    [server.pid] = children(server.process.pid)
    return server


def test_it_serves_as_process_1_without_rights_on_a_read_only_root(container: Server) -> None:
    seen = json.loads(container.get("/inside").body)
    refused = "Read-only file system"
    assert seen == {
        "writable": {"/": refused, "/mnt": refused, "/tmp": True},
        "uid": 65534,
        "parent": 1,
    }
    container.wait_workers(cpus.usable())


def test_a_large_body_waits_in_tmp(container: Server) -> None:
    body = b"x" * 5_000_000
    with container.connect() as client:
        form = "Content-Type: multipart/form-data; boundary=b"
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        client.send_request("POST", "/upload", form, body=head + body + b"\r\n--b--\r\n")
        assert json.loads(client.response().body)["size"] == len(body)


def test_stop_is_term_and_ends_with_0(container: Server) -> None:
    """What `docker stop` sends; the time that it then waits is not needed."""
    workers = container.wait_workers(cpus.usable())
    assert container.stop(signal.SIGTERM) == 0
    for pid in workers:
        poll(lambda pid=pid: not alive(pid), f"worker {pid} ends")


def test_the_healthcheck_tells_a_server_from_none(container: Server) -> None:
    def check() -> int:
        _, *args = [a.replace(":8000", f":{container.port}") for a in healthcheck()]
        return subprocess.run(
            [sys.executable, *args], capture_output=True, timeout=PATIENCE
        ).returncode

    poll(lambda: check() == 0, "it is well")  # within the seconds that the check waits
    container.stop()
    assert check() != 0
