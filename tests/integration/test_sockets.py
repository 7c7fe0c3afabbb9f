# SPDX-License-Identifier: MIT
"""Where the server listens: unix sockets, several addresses, and changes of addresses while clients
come and go."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, poll, refused
from users import as_nobody, run_as_nobody

Serve = Callable[..., Server]

APP = """
import os, pathlib, time
def app(environ, start_response):
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

#: For the beginning of the application: /slow lasts until there is a file "go".
STUCK = """
    if environ["PATH_INFO"] == "/slow":
        pathlib.Path("entered").touch()
        while not os.path.exists("go"):
            time.sleep(0.01)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
has_ipv6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="needs IPv6")


def get(address: tuple[str, int] | str) -> int:
    """One request to a TCP address or a socket file; the status."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    if not isinstance(address, str) and ":" in address[0]:
        family = socket.AF_INET6
    sock = socket.socket(family)
    sock.settimeout(30)
    sock.connect(address)
    with Client(sock) as client:
        client.send_request("GET")
        return client.response().status


def reload(server: Server, *lines: str) -> None:
    """Writes the config file anew and waits until the server has taken it over."""
    (server.directory / "gunicorn.conf.py").write_text("\n".join(lines) + "\n")
    n = server.log.count("Reloaded: ")
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ", count=n + 1)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# Unix sockets


def test_umask_decides_the_mode_of_the_socket_file(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "--umask", "0117", bind="unix:x.sock")
    assert mode(tmp_path / "x.sock") == 0o660
    assert get(str(tmp_path / "x.sock")) == 200
    assert server.stop() == 0
    assert not (tmp_path / "x.sock").exists()


def test_umask_that_a_reload_changes_reaches_the_socket_file(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, bind="unix:x.sock")
    inode = (tmp_path / "x.sock").stat().st_ino
    assert mode(tmp_path / "x.sock") == 0o777
    reload(server, "umask = 0o117")
    poll(lambda: mode(tmp_path / "x.sock") == 0o660, "the mode has changed")
    assert (tmp_path / "x.sock").stat().st_ino == inode


@as_root
def test_socket_file_belongs_to_the_user_of_the_workers(serve: Serve, tmp_path: Path) -> None:
    # Preloaded, since nobody may not enter the folder: a worker that can't load ends the server.
    serve(APP, "-u", "nobody", "-g", "65533", "--preload", bind="unix:x.sock")
    st = (tmp_path / "x.sock").stat()
    assert (st.st_uid, st.st_gid) == (65534, 65533)


def test_stale_socket_file_is_replaced(serve: Serve, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "x.sock"))
    serve(APP, bind="unix:x.sock")
    assert get(str(tmp_path / "x.sock")) == 200


def test_socket_file_of_a_living_server_is_respected(serve: Serve, tmp_path: Path) -> None:
    first = serve(APP, bind="unix:x.sock")
    args = ["-m", "cgunicorn", "-b", "unix:x.sock", "-p", "second.pid", "app:app"]
    second = serve(None, command=[sys.executable, *args], bind=(), spec="", wait=False)
    second.wait_log(r"Connection in use: x\.sock")
    second.wait_log(rf"connection to x\.sock failed: .*, process {first.pid} listens there")
    assert second.stop() == 0
    assert get(str(tmp_path / "x.sock")) == 200
    assert not (tmp_path / "second.pid").exists()


def test_file_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sock").write_text("precious")
    text = refused(tmp_path, "-b", "unix:x.sock", "-p", "x.pid")
    assert "Can't listen at x.sock: a file that is no socket is in the way" in text
    assert (tmp_path / "x.sock").read_text() == "precious"


def test_socket_file_stays_when_a_worker_ends(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, bind="unix:x.sock")
    (worker,) = server.wait_workers(1)
    os.kill(worker, signal.SIGTERM)
    server.wait_log("Booting worker", count=2)
    assert get(str(tmp_path / "x.sock")) == 200


def test_socket_file_of_a_successor_is_left_alone(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, bind="unix:x.sock")
    (tmp_path / "x.sock").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "x.sock"))
        assert server.stop() == 0
        assert (tmp_path / "x.sock").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs the abstract namespace")
def test_abstract_unix_socket(serve: Serve, tmp_path: Path) -> None:
    name = f"cgunicorn-test-{os.getpid()}"
    server = serve(APP, bind=f"unix:@{name}")
    assert f"Listening at: unix:@{name} (" in server.log
    assert get("\0" + name) == 200
    assert not list(tmp_path.glob("*cgunicorn-test*"))


# Several addresses, names, IPv6


def test_all_addresses_are_served_and_told(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, bind=["127.0.0.1:0", "unix:x.sock", "localhost:0"])
    told = server.wait_log(r"Listening at: (.*) \(\d+\)").group(1).split(",")
    ports = [int(t.rpartition(":")[2]) for t in told if t.startswith("http://127.0.0.1:")]
    assert len(ports) == 2
    assert told[1] == "unix:x.sock"
    for address in (("127.0.0.1", ports[0]), ("127.0.0.1", ports[1]), str(tmp_path / "x.sock")):
        assert get(address) == 200


@has_ipv6
def test_ipv6_wildcard_serves_both_families(serve: Serve) -> None:
    server = serve(APP, bind="[::]:0")
    assert get(("::1", server.port)) == 200
    assert get(("127.0.0.1", server.port)) == 200


@has_ipv6
def test_ipv6_address_serves_only_itself(serve: Serve) -> None:
    server = serve(APP, bind="[::1]:0")
    assert get(("::1", server.port)) == 200
    with pytest.raises(ConnectionRefusedError):
        get(("127.0.0.1", server.port))


# What cannot be had


@pytest.mark.parametrize(
    ("bind", "sentence"),
    [
        ("192.0.2.1:0", "Can't listen at ('192.0.2.1', 0): this machine has no such address"),
        ("no-such-host.invalid:0", "there is no host of that name"),
        ("unix:gone/x.sock", "Can't listen at gone/x.sock: there is no such folder"),
        ("unix:" + "x" * 200, "is longer than the 107 bytes of a unix socket's path"),
    ],
)
def test_address_that_cannot_be_had(tmp_path: Path, bind: str, sentence: str) -> None:
    assert sentence in refused(tmp_path, "-b", bind, "-p", "x.pid")


def test_first_address_is_given_back_when_the_second_fails(tmp_path: Path) -> None:
    text = refused(tmp_path, "-b", "unix:x.sock", "-b", "192.0.2.1:0", "-p", "x.pid")
    assert "this machine has no such address" in text


@as_nobody
def test_port_for_privileged_users() -> None:
    """In a network of its own, where nobody has opened the low ports to all."""
    done = run_as_nobody("-b", "0.0.0.0:80", "app:app", within=("unshare", "-n"))
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 1
    assert (
        "Can't listen at ('0.0.0.0', 80): Permission denied, this port is for privileged users"
        in done.stderr
    )


# Changes while it runs


class Load:
    """Clients, one after the other, each on a connection of its own; stops at the first failure."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.served = 0
        self.failure: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                assert get(self.address) == 200
                self.served += 1
        except Exception as error:  # noqa: BLE001 - told by check()
            self.failure = error

    def __enter__(self) -> Load:
        self._thread.start()
        poll(lambda: self.served > 0 or self.failure, "a first answer")
        return self

    def __exit__(self, *exc: object) -> None:
        n = self.served
        with contextlib.suppress(AssertionError):
            poll(lambda: self.served > n + 20 or self.failure, "more answers")
        self._stop.set()
        self._thread.join()
        assert self.failure is None, f"after {self.served}: {self.failure!r}"


def free_port() -> int:
    """Below those that the kernel gives to clients, who might have it before the server does."""
    for port in random.sample(range(20_000, 32_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError("no port is free")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("127.0.0.1:{}", "0.0.0.0:{}"),
        ("0.0.0.0:{}", "127.0.0.1:{}"),
        ("localhost:{}", "127.0.0.1:{}"),
        pytest.param("127.0.0.1:{}", "[::]:{}", marks=has_ipv6),
    ],
)
def test_reload_to_an_overlapping_address_loses_no_client(
    serve: Serve, tmp_path: Path, before: str, after: str, worker_class: str
) -> None:
    port = free_port()
    config = tmp_path / "gunicorn.conf.py"
    config.write_text(f"bind = {before.format(port)!r}\nworkers = 2\n")
    server = serve(APP, "-k", worker_class, bind=())
    with Load(("127.0.0.1", port)):
        reload(server, f"bind = {after.format(port)!r}", "workers = 2")
        reload(server, f"bind = {after.format(port)!r}", "workers = 1")
    server.wait_workers(1)
    assert get(("127.0.0.1", port)) == 200


def test_reload_to_a_narrower_address_gives_the_rest_up(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "gunicorn.conf.py").write_text(f"bind = '0.0.0.0:{port}'\n")
    server = serve(APP, bind=())
    assert get(("127.0.0.2", port)) == 200
    reload(server, f"bind = '127.0.0.1:{port}'")
    server.wait_workers(1)
    assert get(("127.0.0.1", port)) == 200
    with pytest.raises(ConnectionRefusedError):
        get(("127.0.0.2", port))


def queue_limit(path: Path, worker: int) -> int:
    """How many clients can connect while nobody accepts them."""
    os.kill(worker, signal.SIGSTOP)
    stat = Path(f"/proc/{worker}/stat")
    poll(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the worker stands still")
    waiting: list[socket.socket] = []
    try:
        while True:
            waiting.append(socket.socket(socket.AF_UNIX))
            waiting[-1].setblocking(False)
            waiting[-1].connect(str(path))
    except BlockingIOError:
        return len(waiting) - 1
    finally:
        for sock in waiting:
            sock.close()
        os.kill(worker, signal.SIGCONT)
        poll(lambda: serves(path), "the worker has taken those clients")


def serves(path: Path) -> bool:
    with contextlib.suppress(BlockingIOError):
        return get(str(path)) == 200
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse when the queue is full")
def test_backlog_that_a_reload_changes_reaches_the_listener(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("backlog = 5\n")
    server = serve(APP, bind="unix:x.sock")
    server.wait_log("Booting worker")
    small = queue_limit(tmp_path / "x.sock", server.wait_workers(1)[0])
    reload(server, "backlog = 9")
    worker = server.wait_workers(1)[0]
    assert queue_limit(tmp_path / "x.sock", worker) == small + 4


# reuse_port


def test_reuse_port_lets_two_servers_have_an_address(serve: Serve) -> None:
    first = serve(APP, "--reuse-port")
    second = serve(APP, "--reuse-port", bind=f"127.0.0.1:{first.port}")
    for server in (first, second):
        assert f"Listening at: http://127.0.0.1:{first.port} (" in server.log
    assert first.stop() == 0
    assert get(("127.0.0.1", first.port)) == 200


def test_reuse_port_strands_no_client_at_a_reload(serve: Serve) -> None:
    server = serve(APP, "--reuse-port", "-w", "2")
    with Load(("127.0.0.1", server.port)):
        for _ in range(3):
            reload(server)


def test_reuse_port_serves_whoever_comes_while_one_worker_is_stuck(serve: Serve) -> None:
    slow = APP.replace("    body", STUCK + "    body", 1)
    server = serve(slow, "--reuse-port", "-w", "2")
    server.wait_workers(2)
    with server.connect() as stuck:
        stuck.send_request("GET", "/slow")
        poll((server.directory / "entered").exists, "the request is in the application")
        for _ in range(20):
            assert get(("127.0.0.1", server.port)) == 200
        (server.directory / "go").touch()
