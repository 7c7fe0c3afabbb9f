# SPDX-License-Identifier: MIT
"""USR2: a new master from the files as they are now, on the same sockets; nothing is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Server, alive, children, descriptors, poll
from load import Load

#: Names the master that the answering worker belongs to.
APP = """
import os
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getppid()).encode()]
"""

#: Tells what the process has of the environment, the folder and the command line.
SURROUNDINGS_APP = """
import json, os, sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    names = ("A", "B", "GUNICORN_FD", "GUNICORN_PID", "PWD")
    found = {name: os.environ.get(name) for name in names}
    found.update(cwd=os.getcwd(), master=os.getppid(), path=sys.path[:3], argv=sys.orig_argv[1:])
    return [json.dumps(found).encode()]
"""


STARTED = r"Starting a new master with pid: (\d+)"


class Masters:
    """A server, and the masters that came of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pids = [server.pid]

    def usr2(self) -> int:
        """Tells the newest master that lives to start a new one; its pid."""
        os.kill(next(p for p in reversed(self.pids) if alive(p)), signal.SIGUSR2)
        self.pids.append(int(self.wait_log(STARTED, len(self.pids)).group(1)))
        return self.pids[-1]

    def upgrade(self) -> int:
        """The same, up to the time when it is ready."""
        pid = self.usr2()
        self.wait_log_of(pid, "Upgraded: the new workers are ready")
        return pid

    def wait_log(self, pattern: str, count: int = 1) -> re.Match[str]:
        """As of a Server; also when its first master has ended."""

        def look() -> re.Match[str] | None:
            found = list(re.finditer(pattern, self.server.log))
            return found[count - 1] if len(found) >= count else None

        return poll(look, pattern)  # type: ignore[return-value]

    def wait_log_of(self, pid: int, text: str) -> None:
        self.wait_log(rf"\[{pid}\] \[\w+\] {text}")

    def end(self, pid: int, signum: int = signal.SIGTERM) -> None:
        os.kill(pid, signum)
        poll(lambda: not alive(pid), f"master {pid} ends")

    def close(self) -> None:
        for master in reversed(self.pids):
            for pid in [master, *children(master)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def masters(serve: Callable[..., Server]) -> Iterator[Callable[..., Masters]]:
    """Like `serve`; also ends what the server became."""
    made: list[Masters] = []

    def start(*args: object, **options: object) -> Masters:
        made.append(Masters(serve(*args, **options)))
        return made[-1]

    yield start
    for each in made:
        each.close()


@pytest.mark.parametrize("keep_alive", [False, True], ids=["close", "keep-alive"])
def test_twenty_upgrades_under_load_lose_no_request(
    masters: Callable[..., Masters], worker_class: str, keep_alive: bool
) -> None:
    m = masters(APP, "-k", worker_class, "-w", "2")
    with Load(m.server, keep_alive=keep_alive) as load:
        for _ in range(20):
            old = m.pids[-1]
            m.upgrade()
            m.end(old)
    assert load.failures == []
    # Each generation of masters has had its share.
    assert {b"%d" % pid for pid in m.pids} >= set(load.bodies)
    assert load.answered > 20
    m.end(m.pids[-1])


def test_the_new_master_serves_the_new_code(masters: Callable[..., Masters]) -> None:
    m = masters("VERSION = b'1'\n" + APP.replace("str(os.getppid()).encode()", "VERSION"))
    assert m.server.get().body == b"1"
    source = (m.server.directory / "app.py").read_text()
    (m.server.directory / "app.py").write_text(source.replace("b'1'", "b'number two'"))
    m.upgrade()
    m.end(m.server.pid)
    assert m.server.get().body == b"number two"


def test_the_pidfile_has_a_second_name_until_the_old_master_has_gone(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, "-p", "pid")
    first, second = m.server.directory / "pid", m.server.directory / "pid.2"
    new = m.upgrade()
    assert (int(first.read_text()), int(second.read_text())) == (m.server.pid, new)
    m.end(m.server.pid)
    m.wait_log_of(new, r"Master has been promoted\.")
    poll(lambda: first.exists() and not second.exists(), "the pidfile has its name again")
    assert int(first.read_text()) == new
    m.end(new)
    assert not first.exists()


def test_the_death_of_the_old_master_promotes_the_new_one(masters: Callable[..., Masters]) -> None:
    m = masters(APP, "-p", "pid")
    orphans = m.server.wait_workers(1)
    new = m.upgrade()
    m.end(m.server.pid, signal.SIGKILL)
    poll(lambda: not any(alive(p) for p in orphans), "its worker leaves")
    m.wait_log_of(new, r"Master has been promoted\.")
    poll(lambda: not (m.server.directory / "pid.2").exists(), "the second pidfile goes")
    assert int((m.server.directory / "pid").read_text()) == new
    assert m.server.get().body == b"%d" % new


def test_hup_beside_the_old_master_keeps_the_second_pidfile(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, "-p", "pid")
    new = m.upgrade()
    os.kill(new, signal.SIGHUP)
    m.wait_log_of(new, r"Hang up: Master\.2")
    m.wait_log_of(new, "Reloaded: ")
    assert int((m.server.directory / "pid").read_text()) == m.server.pid
    assert int((m.server.directory / "pid.2").read_text()) == new


def test_a_socket_file_outlives_the_old_master_and_goes_with_the_new_one(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, bind=["unix:x.sock", "127.0.0.1:0"])
    path = m.server.directory / "x.sock"
    new = m.upgrade()
    m.end(m.server.pid)
    m.wait_log_of(new, r"Master has been promoted\.")
    with m.server.connect_unix("x.sock") as client:
        client.send_request("GET")
        assert client.response().body == b"%d" % new
    m.end(new)
    assert not path.exists()


def test_a_socket_file_stays_when_the_new_master_goes_first(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, bind=["unix:x.sock", "127.0.0.1:0"])
    m.end(m.upgrade())
    m.server.wait_log(r"The new master \(pid:\d+\) exited with code 0, this one goes on")
    assert (m.server.directory / "x.sock").is_socket()
    assert m.server.stop() == 0
    assert not (m.server.directory / "x.sock").exists()


def test_a_bind_of_an_upgraded_server_can_be_changed_by_hup(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text("bind = ['127.0.0.1:0', 'unix:x.sock']")
    m = masters(APP, "-c", "conf.py", bind=[])
    new = m.upgrade()
    m.end(m.server.pid)
    m.wait_log_of(new, r"Master has been promoted\.")
    (tmp_path / "conf.py").write_text("bind = ['unix:y.sock', 'unix:x.sock']")
    os.kill(new, signal.SIGHUP)
    m.wait_log_of(new, "Reloaded: ")
    for name in ("x.sock", "y.sock"):
        with m.server.connect_unix(name) as client:
            client.send_request("GET")
            assert client.response().body == b"%d" % new
    m.server.wait_refused()


def test_there_are_never_three_masters(masters: Callable[..., Masters]) -> None:
    m = masters(APP)
    new = m.upgrade()
    os.kill(m.server.pid, signal.SIGUSR2)
    m.wait_log_of(m.server.pid, r"USR2 signal ignored\. Child exists\.")
    os.kill(new, signal.SIGUSR2)
    m.wait_log_of(new, r"USR2 signal ignored\. Parent exists\.")
    m.end(m.server.pid)
    m.wait_log_of(new, r"Master has been promoted\.")
    m.upgrade()


def test_winch_leaves_the_serving_to_the_new_master_until_hup_takes_it_back(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, "-w", "2")
    new = m.upgrade()
    m.server.send_signal(signal.SIGWINCH)
    poll(lambda: children(m.server.pid) == [new], "the workers of the old master leave")
    assert m.server.get().body == b"%d" % new
    m.server.send_signal(signal.SIGHUP)
    m.wait_log_of(m.server.pid, "Reloaded: ")
    m.end(new, signal.SIGQUIT)
    m.server.wait_workers(2)
    assert m.server.get().body == b"%d" % m.server.pid


def test_ttin_after_winch_brings_one_worker_back(masters: Callable[..., Masters]) -> None:
    m = masters(APP, "-w", "2")
    new = m.upgrade()
    m.server.send_signal(signal.SIGWINCH)
    poll(lambda: children(m.server.pid) == [new], "the workers of the old master leave")
    m.server.send_signal(signal.SIGTTOU)
    m.server.wait_log("Handling signal: ttou")
    m.server.send_signal(signal.SIGTTIN)
    poll(lambda: len(children(m.server.pid)) == 2, "one worker beside the new master")


def test_winch_without_a_new_master_is_ignored(masters: Callable[..., Masters]) -> None:
    m = masters(APP, "--log-level", "debug")
    workers = m.server.wait_workers(1)
    m.server.send_signal(signal.SIGWINCH)
    m.server.wait_log("SIGWINCH ignored")
    assert m.server.workers() == workers


def test_the_old_master_works_again_when_the_new_one_dies(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, "-w", "2")
    new = m.upgrade()
    m.server.send_signal(signal.SIGWINCH)
    poll(lambda: children(m.server.pid) == [new], "the workers of the old master leave")
    orphans = children(new)
    os.kill(new, signal.SIGKILL)
    poll(lambda: not any(alive(p) for p in orphans), "the workers of the new master leave")
    m.server.wait_log(r"The new master \(pid:\d+\) was ended by signal 9 \(Killed\), this one")
    m.server.wait_workers(2)
    assert m.server.get().body == b"%d" % m.server.pid


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("conf.py", "workers = 'many'", 1),
        ("conf.py", "certfile = 'no.pem'", 1),
        ("conf.py", "bind = '127.0.0.1:zz'", 1),
        ("conf.py", "user = 'no-such-one'", 1),
        ("conf.py", "errorlog = 'nowhere/e.log'", 1),
        ("conf.py", "def on_starting(server): 1 / 0", 1),
        ("app.py", "raise RuntimeError('broken')", 3),
        ("app.py", "import os; os._exit(3)", 3),
        ("app.py", "application = None", 4),
    ],
    ids=lambda value: str(value).split(" = ")[0],
)
def test_a_new_master_that_can_not_start_leaves_the_old_one_serving(
    masters: Callable[..., Masters], tmp_path: Path, name: str, text: str, code: int
) -> None:
    (tmp_path / "conf.py").write_text("workers = 1")
    m = masters(APP, "-c", "conf.py", "-p", "pid")
    m.server.get()
    good = (tmp_path / name).read_text()
    (tmp_path / name).write_text(text)
    failed = m.usr2()
    m.server.wait_log(rf"The new master \(pid:{failed}\) exited with code {code}, this one goes on")
    assert m.server.get().body == b"%d" % m.server.pid
    assert int((tmp_path / "pid").read_text()) == m.server.pid
    assert not (tmp_path / "pid.2").exists()
    (tmp_path / name).write_text(good + "\n")
    m.upgrade()


def test_a_folder_that_is_gone_is_said_in_a_sentence(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    command = ["sh", "-c", f'cd {folder} && exec "$0" "$@"', sys.executable, "-m", "cgunicorn"]
    m = masters(None, command=command)
    m.server.wait_workers(1)
    m.server.get()
    for path in folder.rglob("*.pyc"):
        path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    m.usr2()
    m.server.wait_log(f"Can't start a new master: {folder}: No such file or directory")
    m.server.wait_log("exited with code 1, this one goes on")
    assert m.server.get().body == b"%d" % m.server.pid


def test_the_new_master_starts_as_the_old_one_did(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.py").write_text(SURROUNDINGS_APP)
    args = ("--chdir", "app", "-e", "A=2", "-e", "B=2")
    m = masters(None, *args, env={"A": "1"})
    before = m.server.get().body
    new = m.upgrade()
    m.end(m.server.pid)
    assert m.server.get().body.replace(b"%d" % new, b"%d" % m.server.pid) == before


def test_the_variables_of_raw_env_are_not_handed_on(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text("raw_env = ['A=2', 'B=2']")
    m = masters(SURROUNDINGS_APP, "-c", "conf.py", env={"A": "1"})
    assert b'"A": "2", "B": "2"' in m.server.get().body
    (tmp_path / "conf.py").write_text("")
    m.upgrade()
    m.end(m.server.pid)
    assert b'"A": "1", "B": null, "GUNICORN_FD": null' in m.server.get().body


def test_only_listeners_cross_the_exec(masters: Callable[..., Masters], tmp_path: Path) -> None:
    args = ("--preload", "--access-logfile", "access.log", "--error-logfile", "error.log")
    app = "KEPT = open(__file__)\n" + APP
    m = masters(app, *args, bind=["127.0.0.1:0", "unix:x.sock"], wait=False)
    error_log = tmp_path / "error.log"
    m.server.wait_listening_in(error_log)
    assert m.server.get().status == 200
    sockets = {t for t in descriptors(m.server.pid).values() if t.startswith("socket:")}
    old = descriptors(m.server.pid)
    m.server.send_signal(signal.SIGUSR2)
    new = int(poll(lambda: re.search(STARTED, error_log.read_text()), "a new master").group(1))
    m.pids.append(new)
    poll(lambda: "Upgraded: the new workers are ready" in error_log.read_text(), "it is ready")
    # One more than the old one, to watch it by; and what it has open for a moment.
    poll(lambda: len(descriptors(new)) <= len(old) + 1, f"no more open than {old}")
    now = descriptors(new)
    assert len(sockets) == 2
    assert {t for t in now.values() if t.startswith("socket:")} == sockets
    # Of the old one's pipes, the life line of its workers above all, nothing is left over.
    pipes = {t for t in old.values() if t.startswith("pipe:")} - {old.get(i) for i in range(3)}
    assert pipes.isdisjoint(now.values())


def test_workers_of_the_new_master_have_no_descriptor_of_the_old_one(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP)

    def kinds(master: int) -> list[str]:
        (worker,) = (p for p in children(master) if p not in m.pids)
        return sorted(re.sub(r"\d+", "", t) for t in descriptors(worker).values())

    m.server.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    new = m.upgrade()
    # A client may know of the end of its connection before the worker has closed it.
    poll(lambda: kinds(new) == kinds(m.pids[0]), f"alike: {kinds(new)} {kinds(m.pids[0])}")
    m.end(m.pids[0])
    m.wait_log("Master has been promoted.")


LAUNCHERS = {
    "gunicorn": "from gunicorn.app.wsgiapp import run; run()",
    "cgunicorn": "import sys; from cgunicorn.cli import main; sys.exit(main())",
}


@pytest.mark.parametrize("old_name", LAUNCHERS)
def test_gunicorn_and_cgunicorn_replace_each_other(
    masters: Callable[..., Masters], tmp_path: Path, old_name: str
) -> None:
    pytest.importorskip("gunicorn")
    new_name = next(name for name in LAUNCHERS if name != old_name)
    launcher = tmp_path / "serve.py"
    launcher.write_text(LAUNCHERS[old_name])
    m = masters(APP, "-p", "pid", command=[sys.executable, str(launcher)])
    poll(lambda: m.server.get().status == 200, "an answer of the old one")
    launcher.write_text(LAUNCHERS[new_name])
    m.server.send_signal(signal.SIGUSR2)
    second = tmp_path / "pid.2"
    poll(lambda: second.exists() and second.read_text().strip(), "the new master has a pidfile")
    new = int(second.read_text())
    m.pids.append(new)
    m.wait_log_of(new, "Listening at")
    m.end(m.server.pid)
    assert m.server.get().body == b"%d" % new
    first = tmp_path / "pid"  # of Gunicorn's, the one goes before the other comes
    poll(lambda: first.exists() and not second.exists(), "the pidfile has its name again")
    assert int(first.read_text()) == new


def test_a_socket_file_that_the_old_master_gives_up_stays_while_the_new_one_serves_it(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text("bind = ['127.0.0.1:0', 'unix:x.sock']")
    m = masters(APP, "-c", "conf.py", bind=[])
    new = m.upgrade()
    leaving = [p for p in children(m.server.pid) if p != new]
    (tmp_path / "conf.py").write_text("bind = ['127.0.0.1:0', 'unix:y.sock']")
    m.server.send_signal(signal.SIGHUP)
    m.wait_log_of(m.server.pid, "Reloaded: ")
    poll(lambda: not any(alive(p) for p in leaving), "who served it for the old one leaves")
    with m.server.connect_unix("x.sock") as client:
        client.send_request("GET")
        assert client.response().body == b"%d" % new
    m.end(m.server.pid)
    m.wait_log_of(new, r"Master has been promoted\.")
    assert (tmp_path / "x.sock").is_socket()
    assert not (tmp_path / "y.sock").exists()  # that one was the old one's alone
    m.end(new)
    assert not (tmp_path / "x.sock").exists()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_waiting_for_an_address_costs_nothing_when_the_old_master_has_gone(
    serve: Callable[..., Server],
) -> None:
    holder = serve(APP)
    parent = 'GUNICORN_PID=$$ "$0" "$@" & sleep 60'
    command = ["sh", "-c", parent, sys.executable, "-m", "cgunicorn"]
    address = f"127.0.0.1:{holder.port}"
    old = serve(APP, command=command, bind=address, wait=False)
    in_use = rf"\[(\d+)\] \[ERROR\] Connection in use: \('127\.0\.0\.1', {holder.port}\)"
    pid = int(old.wait_log(in_use).group(1))
    spent = [cpu_seconds(pid)]

    def has_tried() -> bool:
        with contextlib.suppress(FileNotFoundError):  # after the last try it ends
            spent.append(cpu_seconds(pid))
        return len(re.findall(in_use, old.log)) >= 4

    try:
        (sleeper,) = poll(lambda: [p for p in children(old.pid) if p != pid], "it sleeps")  # type: ignore[misc]
        os.kill(old.pid, signal.SIGKILL)
        os.kill(sleeper, signal.SIGKILL)
        poll(has_tried, "three more tries")
        assert spent[-1] - spent[0] < 0.5
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows titles")
def test_the_title_tells_the_second_master_until_it_is_promoted(
    masters: Callable[..., Masters],
) -> None:
    m = masters(APP, "--name", "shop")
    new = m.upgrade()
    assert title(m.server.pid) == "cgunicorn: master [shop]"
    assert title(new) == "cgunicorn: master [shop.2]"
    assert [title(p) for p in children(new)] == ["cgunicorn: worker [shop.2]"]
    m.end(m.server.pid)
    poll(lambda: title(new) == "cgunicorn: master [shop]", "it is promoted")


HOOKS = """
import os
def pre_exec(server):
    server.log.info("pre_exec in %d of %s", os.getpid(), server.master_name)
    if os.path.exists("refuse"):
        raise RuntimeError("not today")
"""


def test_pre_exec_runs_in_the_new_master_before_it_is_one(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text(HOOKS)
    m = masters(APP, "-c", "conf.py")
    new = m.upgrade()
    log = m.server.log
    assert log.count("pre_exec in ") == 1
    assert log.index(f"pre_exec in {new} of Master\n") < log.rindex("Starting cgunicorn")


def test_a_pre_exec_that_fails_leaves_the_old_master_serving(
    masters: Callable[..., Masters], tmp_path: Path
) -> None:
    (tmp_path / "conf.py").write_text(HOOKS)
    m = masters(APP, "-c", "conf.py")
    (tmp_path / "refuse").touch()
    m.usr2()
    m.server.wait_log("RuntimeError: not today")
    m.server.wait_log(r"The new master \(pid:\d+\) exited with code 1, this one goes on")
    assert m.server.get().body == b"%d" % m.server.pid
    (tmp_path / "refuse").unlink()
    m.upgrade()


@pytest.fixture
def daemon(masters: Callable[..., Masters]) -> Callable[..., Masters]:
    """A server that has gone into the background; its log is where it always is."""

    def start(*args: str) -> Masters:
        log = ["--error-logfile", "server-0.log"]
        m = masters(APP, "-D", "-p", "pid", *log, *args, wait=False)
        assert m.server.wait() == 0
        m.server.wait_listening()
        m.pids = [int((m.server.directory / "pid").read_text())]
        return m

    return start


def test_a_daemon_is_upgraded(daemon: Callable[..., Masters]) -> None:
    m = daemon()
    (old,) = m.pids
    assert m.server.get().body == b"%d" % old
    new = m.upgrade()
    assert os.getsid(new) == os.getsid(old)
    m.end(old)
    m.wait_log_of(new, r"Master has been promoted\.")
    assert m.server.get().body == b"%d" % new
    poll(lambda: (m.server.directory / "pid").exists(), "the pidfile has its name again")
    assert int((m.server.directory / "pid").read_text()) == new
    m.end(new)


def test_winch_takes_the_workers_of_a_daemon_and_hup_brings_them_back(
    daemon: Callable[..., Masters],
) -> None:
    m = daemon("-w", "2")
    (master,) = m.pids
    poll(lambda: len(children(master)) == 2, "both workers")
    os.kill(master, signal.SIGWINCH)
    poll(lambda: children(master) == [], "no worker is left")
    os.kill(master, signal.SIGHUP)
    poll(lambda: len(children(master)) == 2, "both workers again")
    assert m.server.get().body == b"%d" % master


#: Waits in the new master before it is one, or while it is one and starts.
WAITS = """
import os, time
def _wait(name):
    open(name, "w").close()
    while not os.path.exists("go"):
        time.sleep(0.01)
def pre_exec(server):
    if os.path.exists("in-pre_exec"):
        _wait("waits")
def on_starting(server):
    if server.master_pid and os.path.exists("in-on_starting"):
        _wait("waits")
"""


@pytest.mark.parametrize("where", ["pre_exec", "on_starting", "boot"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_new_master_comes_up_though_the_old_one_ends_first(
    masters: Callable[..., Masters], tmp_path: Path, where: str, end: int
) -> None:
    (tmp_path / "conf.py").write_text(WAITS)
    m = masters(APP, "-c", "conf.py", "-p", "pid", bind="unix:app.sock")

    def answers(pid: int) -> bool:
        with m.server.connect_unix("app.sock") as client:
            client.send_request("GET")
            return client.response().body == b"%d" % pid

    assert answers(m.server.pid)
    orphans = m.server.wait_workers(1)
    (tmp_path / f"in-{where}").touch()
    if where == "boot":
        (tmp_path / "app.py").write_text(WAITS + "_wait('waits')\n" + APP)
    new = m.usr2()
    poll((tmp_path / "waits").exists, "the new master waits")
    os.kill(m.server.pid, end)
    m.server.wait()
    poll(lambda: not any(alive(p) for p in orphans), "its worker leaves")
    (tmp_path / "go").touch()
    m.wait_log_of(new, r"Master has been promoted\." if where != "pre_exec" else "Listening at")
    assert answers(new)
    poll(lambda: (tmp_path / "pid").exists() and not (tmp_path / "pid.2").exists(), "its pidfile")
    assert int((tmp_path / "pid").read_text()) == new
    m.end(new)
    assert not (tmp_path / "pid").exists()
    assert not (tmp_path / "app.sock").exists()
