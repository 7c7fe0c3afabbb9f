# SPDX-License-Identifier: MIT
"""Sockets that were open before the server started: socket activation by a service manager, the
sockets of an old master, fd://N."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, alive, poll, server_environment

ENVIRON_APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = ("LISTEN_", "GUNICORN_")
    return [" ".join(sorted(n for n in os.environ if n.startswith(names))).encode()]
"""

#: Opens the sockets named by its first argument at the descriptors 3, 4 ..., as a service manager
#: does, and becomes the command in the others. SELF in a variable stands for its process id.
LAUNCHER = """
import os, socket, sys
opened = []
for text in sys.argv[1].split():
    kind, _, where = text.partition(":")
    if kind == "tcp":
        s = socket.create_server(("127.0.0.1", int(where)))
    elif kind == "udp":
        s = socket.socket(type=socket.SOCK_DGRAM)
    elif kind == "idle":
        s = socket.socket()
    elif kind == "file":
        s = open(os.devnull)
    else:
        s = socket.socket(socket.AF_UNIX)
        s.bind(where)
        s.listen()
    opened.append(s)
high = [os.dup2(s.fileno(), 100 + i) for i, s in enumerate(opened)]
for number, fd in enumerate(high, 3):
    os.dup2(fd, number, inheritable=True)
os.closerange(3 + len(opened), 200)
env = {k: v.replace("SELF", str(os.getpid())) for k, v in os.environ.items()}
os.execve(sys.executable, [sys.executable, "-m", "cgunicorn", *sys.argv[2:]], env)
"""

ACTIVATED = {"LISTEN_PID": "SELF", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"}


def launch(sockets: str) -> list[str]:
    return [sys.executable, "-c", LAUNCHER, sockets]


@pytest.fixture
def activate(serve: Callable[..., Server]) -> Callable[..., Server]:
    def start(sockets: str, *args: str, env: dict[str, str], **options: object) -> Server:
        options = {"bind": [], **options}
        return serve(ENVIRON_APP, *args, command=launch(sockets), env=env, **options)

    return start


def test_socket_activation_serves_what_was_passed_on(
    activate: Callable[..., Server], worker_class: str
) -> None:
    server = activate("tcp:0", "-k", worker_class, env=ACTIVATED)
    assert server.get().status == 200
    assert "Sockets were passed on, so the bind 127.0.0.1:8000 is not used" in server.log
    assert "http://127.0.0.1:8000" not in server.log
    assert server.stop() == 0


def test_the_variables_are_not_seen_by_the_application(activate: Callable[..., Server]) -> None:
    server = activate("tcp:0", env=ACTIVATED)
    assert server.get().body == b""


def test_the_variables_are_not_seen_by_a_preloaded_application(
    serve: Callable[..., Server],
) -> None:
    app = """
import os
SEEN = os.environ.get("LISTEN_PID", "nothing").encode()
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [SEEN]
"""
    server = serve(app, "--preload", command=launch("tcp:0"), env=ACTIVATED, bind=[])
    assert server.get().body == b"nothing"


def test_several_sockets_are_served_and_named(activate: Callable[..., Server]) -> None:
    env = {**ACTIVATED, "LISTEN_FDS": "2"}
    server = activate("tcp:0 unix:x.sock", env=env)
    assert f"Listening at: http://127.0.0.1:{server.port},unix:x.sock" in server.log
    assert server.get().status == 200
    with server.connect_unix("x.sock") as client:
        client.send_request("GET")
        assert client.response().status == 200


def test_a_socket_file_of_the_manager_stays(activate: Callable[..., Server]) -> None:
    server = activate("unix:x.sock", "-b", "unix:x.sock", env=ACTIVATED)
    assert server.stop() == 0
    assert (server.directory / "x.sock").is_socket()


def test_hup_keeps_the_sockets_of_the_manager(
    activate: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text("bind = '127.0.0.1:8000'")
    server = activate("tcp:0", "-c", "conf.py", env=ACTIVATED)
    (tmp_path / "conf.py").write_text("bind = 'unix:other.sock'")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")
    assert server.get().status == 200
    assert not (tmp_path / "other.sock").exists()


def test_variables_for_another_process_are_ignored(serve: Callable[..., Server]) -> None:
    server = serve(ENVIRON_APP, env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert server.get().body == b""


def test_sockets_of_a_master_that_has_gone_are_served(activate: Callable[..., Server]) -> None:
    server = activate("tcp:0", env={"GUNICORN_FD": "3", "GUNICORN_PID": "999999"})
    assert server.get().body == b""


def test_a_bind_to_a_descriptor_goes_before_other_binds(
    activate: Callable[..., Server],
) -> None:
    server = activate("tcp:0", bind=["127.0.0.1:8000", "fd://3"], env={})
    assert server.get().status == 200
    assert "Sockets were passed on, so the bind 127.0.0.1:8000 is not used" in server.log


@pytest.mark.parametrize(
    ("sockets", "env", "sentence"),
    [
        ("file:x", ACTIVATED, "Can't listen at fd://3: it is no socket"),
        ("udp:x", ACTIVATED, "Can't listen at fd://3: it is no stream socket that listens"),
        ("idle:x", ACTIVATED, "Can't listen at fd://3: it is no stream socket that listens"),
        (
            "tcp:0",
            {**ACTIVATED, "LISTEN_FDS": "2"},
            "Can't listen at fd://4: ",
        ),
        (
            "tcp:0",
            {**ACTIVATED, "LISTEN_FDS": "many"},
            "LISTEN_FDS is 'many', which is no number from 0 to 256.",
        ),
        (
            "tcp:0",
            {"GUNICORN_FD": "3;4", "GUNICORN_PID": "1"},
            "GUNICORN_FD is '3;4', which is no list of at most 256 file descriptors.",
        ),
        (
            "tcp:0",
            {"GUNICORN_FD": "3", "GUNICORN_PID": "me"},
            "GUNICORN_PID is 'me', which is no process id.",
        ),
    ],
)
def test_what_can_not_be_served_is_said_in_a_sentence(
    activate: Callable[..., Server], sockets: str, env: dict[str, str], sentence: str
) -> None:
    server = activate(sockets, env=env, wait=False)
    assert server.wait() == 1
    assert sentence in server.log
    assert "Traceback" not in server.log
    assert "Booting worker" not in server.log


@pytest.mark.skipif(
    shutil.which("systemd-socket-activate") is None,
    reason="needs systemd-socket-activate, of systemd",
)
def test_systemd_socket_activate_starts_the_server_at_the_first_client(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    tool = ["systemd-socket-activate", "--listen", str(tmp_path / "x.sock")]
    passed = [f"--setenv={name}" for name in server_environment()]
    command = [*tool, *passed, sys.executable, "-m", "cgunicorn"]
    server = serve(ENVIRON_APP, command=command, bind=[], wait=False)
    server.wait_log("Listening on ")
    with server.connect_unix("x.sock") as client:
        client.send_request("GET")
        assert client.response().body == b""
    assert f"Listening at: unix:{tmp_path}/x.sock" in server.log
    assert server.stop() == 0
    assert (tmp_path / "x.sock").is_socket()


def test_an_upgrade_hands_the_sockets_of_the_manager_on(
    activate: Callable[..., Server],
) -> None:
    server = activate("tcp:0 unix:x.sock", env={**ACTIVATED, "LISTEN_FDS": "2"})
    listening = server.wait_log("Listening at: .* ").group()
    server.send_signal(signal.SIGUSR2)
    new = int(server.wait_log(r"Starting a new master with pid: (\d+)").group(1))
    try:
        server.wait_log("Upgraded: the new workers are ready")
        assert server.log.count(listening) == 2
        assert server.stop() == 0
        assert server.get().body == b""
        with server.connect_unix("x.sock") as client:
            client.send_request("GET")
            assert client.response().status == 200
    finally:
        os.kill(new, signal.SIGTERM)
    poll(lambda: not alive(new), "the new master ends")
    assert (server.directory / "x.sock").is_socket()
