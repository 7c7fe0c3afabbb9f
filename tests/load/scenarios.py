# SPDX-License-Identifier: MIT
"""What is done to a server under load, and what must hold. A scenario is a row of SCENARIOS: what
is done (a function of this module, which says in a few words what it did), how the server and the
generator are started for it, and which requests may fail."""

from __future__ import annotations

import random
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import alive, children, poll
from rig import Rig
from rig import idle as idle_process
from verdict import Rule, none, only_after, only_during, only_in_killed, only_unheard

#: Draws the same victims in each run.
SEED = 20


def seconds(duration_s: float) -> float:
    """When a scenario that is defined by its duration ends."""
    return time.monotonic() + duration_s


# Nothing may fail: processes that come and go as they were told.


def reload(rig: Rig, *, full: bool) -> str:
    n = 20 if full else 3
    for _ in range(n):
        rig.after("Reloaded: ", signal.SIGHUP)
        rig.answers(10)
    return f"{n} reloads"


STARTED = r"Starting a new master with pid: (\d+)"


def start_master(rig: Rig) -> int:
    """USR2: the new master, which need not come up."""
    rig.masters.append(int(rig.after(STARTED, signal.SIGUSR2)))
    return rig.masters[-1]


def beside(rig: Rig) -> tuple[int, int]:
    """The old master, and a new one that is ready."""
    old, new = rig.master, start_master(rig)
    poll(lambda: rig.logged(rf"\[{new}\] \[\w+\] Upgraded: "), f"{new} is ready")
    return old, new


def upgrade(rig: Rig, *, full: bool) -> str:
    n = 20 if full else 2
    for _ in range(n):
        old, _ = beside(rig)
        rig.end_master(old, signal.SIGTERM)
        rig.answers(10)
    return f"{n} upgrades, TERM to the old master"


def upgrade_winch(rig: Rig, *, full: bool) -> str:
    n = 20 if full else 2
    for _ in range(n):
        old, new = beside(rig)
        rig.signal(signal.SIGWINCH, old)
        poll(lambda old=old, new=new: children(old) == [new], "the workers of the old one leave")
        rig.end_master(old, signal.SIGQUIT)
        rig.answers(10)
    return f"{n} upgrades, WINCH and then QUIT to the old master"


def replaced(rig: Rig, n: int) -> str:
    """Waits until n workers have answered that were not there at first."""
    first = set(rig.worker_pids())

    def later() -> set[int]:
        return {r.pid for r in rig.records.read() if r.pid} - first

    poll(lambda: len(later()) >= n, f"{n} new workers", 120)
    return f"{len(later())} workers replaced"


def recycle(rig: Rig, *, full: bool) -> str:
    return replaced(rig, 60 if full else 10)


def recycle_memory(rig: Rig, *, full: bool) -> str:
    """The application keeps some of what it is asked for; at the end it is loaded anew, or its
    memory would be no measure of the server's."""
    done = replaced(rig, 20 if full else 2)
    rig.quiet()
    rig.after("Reloaded: ", signal.SIGHUP)
    assert rig.logged("is to be replaced: .* MiB of memory")
    return done


def scale(rig: Rig, *, full: bool) -> str:
    n = 200 if full else 40
    draw = random.Random(SEED)
    for _ in range(n):
        name = draw.choice(["ttin", "ttou"])
        rig.after(f"Handling signal: {name}", getattr(signal, f"SIG{name.upper()}"))
    rig.after("Reloaded: ", signal.SIGHUP)  # takes the number back
    return f"{n} TTIN and TTOU"


def idle(rig: Rig, *, full: bool) -> str:
    rig.answers(600 if full else 80)
    return "clients that pause for about as long as idle connections are kept"


def backlog(rig: Rig, *, full: bool) -> str:
    rig.answers(2000 if full else 200)
    return "more clients at once than the queue holds"


# The old generation goes on: what cannot work, and what the log says of it.


def break_configuration(rig: Rig) -> str:
    rig.configure("workers = 'many'\n")
    return r"workers: .many. \(from conf\.py:\d+\)"


def break_application(rig: Rig) -> str:
    path = rig.directory / "site_app.py"
    path.write_text(path.read_text() + "\nraise RuntimeError('out of order')\n")
    return "RuntimeError: out of order"


def name_unknown_user(rig: Rig) -> str:
    rig.configure("user = 'nobody-of-that-name'\n")
    return "nobody-of-that-name"


def fail_to_reload(rig: Rig, why: str) -> None:
    reasons = len(rig.logged(why))
    rig.after("Reload failed, the old workers go on", signal.SIGHUP)
    assert len(rig.logged(why)) > reasons, f"{why!r} not in\n{rig.server.log}"


def fail_to_upgrade(rig: Rig, why: str) -> None:
    reasons = len(rig.logged(why))
    new = start_master(rig)
    gone = rf"The new master \(pid:{new}\) exited with code \d, this one goes on"
    poll(lambda: rig.logged(gone), gone)
    assert len(rig.logged(why)) > reasons, f"{why!r} not in\n{rig.server.log}"


def broken(rig: Rig, *, full: bool) -> str:
    n = 5 if full else 1
    good = (rig.directory / "site_app.py").read_text()
    for breaks in [break_configuration, break_application, name_unknown_user] * n:
        why = breaks(rig)
        fail_to_reload(rig, why)
        fail_to_upgrade(rig, why)
        rig.answers(10)
        rig.configure("")
        (rig.directory / "site_app.py").write_text(good)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        rig.configure(f"bind = ['127.0.0.1:0', '127.0.0.1:{port}']\n")
        for _ in range(n):
            fail_to_reload(
                rig, f"Connection in use: .*{port}"
            )  # a new master has its sockets and would bind none
    rig.configure("")
    rig.after("Reloaded: ", signal.SIGHUP)
    return f"{7 * n} reloads and upgrades that cannot work"


# Ends.


def stop(rig: Rig, *, full: bool) -> str:
    everyone = [rig.master, *rig.worker_pids()]
    rig.mark()
    rig.end_master(rig.master, signal.SIGTERM)
    assert not any(alive(p) for p in everyone)
    return f"TERM while clients are queued; ended after {time.monotonic() - rig.marked_s:.2f} s"


def kill_master(rig: Rig, *, full: bool) -> str:
    before = [rig.master, *rig.worker_pids()]
    rig.mark()
    rig.signal(signal.SIGKILL)
    poll(lambda: not any(alive(p) for p in before), "nothing survives")
    return f"kill -9 of the master; all had gone after {time.monotonic() - rig.marked_s:.2f} s"


def kill_workers(rig: Rig, *, full: bool) -> str:
    draw = random.Random(SEED)
    until = seconds(60 if full else 5)
    while time.monotonic() < until:
        if pids := rig.worker_pids():
            rig.kill(draw.choice(pids))
        time.sleep(0.2)
    rig.mark()
    rig.answers(50)
    return f"kill -9 of {len(rig.killed)} workers, one each 200 ms"


# Processes that stand still.


def standstill(rig: Rig, pids: Sequence[int], duration_s: float) -> None:
    for pid in pids:
        rig.signal(signal.SIGSTOP, pid)
    time.sleep(duration_s)
    for pid in pids:
        rig.signal(signal.SIGCONT, pid)
    rig.mark()
    rig.answers(20)


def freeze_worker(rig: Rig, *, full: bool) -> str:
    draw = random.Random(SEED)
    n = 10 if full else 2
    for _ in range(n):
        standstill(rig, [draw.choice(rig.worker_pids())], 0.5)
    return f"SIGSTOP of one worker for half a second, {n} times"


def freeze_workers(rig: Rig, *, full: bool) -> str:
    n = 10 if full else 2
    for _ in range(n):
        standstill(rig, rig.worker_pids(), 0.5)
    return f"SIGSTOP of all workers for half a second, {n} times"


def freeze_master(rig: Rig, *, full: bool) -> str:
    standstill(rig, [rig.master], 5)
    return "SIGSTOP of the master for longer than timeout"


def freeze_all(rig: Rig, *, full: bool) -> str:
    standstill(rig, [rig.master, *rig.worker_pids()], 5)
    return "SIGSTOP of everything for longer than timeout"


# Resources that run out, and come back.


def starved_master(rig: Rig, *, full: bool) -> str:
    """Neither a reload nor a worker in place of one that left can be had for a while."""
    pid, kind = rig.master, resource.RLIMIT_NOFILE
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (idle_process(pid).free_fd, before[1]))
    rig.after("Reload failed, the old workers go on", signal.SIGHUP)
    leaving = rig.worker_pids()[0]
    rig.signal(signal.SIGTERM, leaving)
    poll(lambda: not alive(leaving), "a worker leaves")
    rig.answers(200 if full else 20)
    resource.prlimit(pid, kind, before)
    rig.mark()
    rig.after("Reloaded: ", signal.SIGHUP)
    return "the master may open no descriptor, at a reload and when a worker leaves"


def limits(rig: Rig, kind: int, of: Callable[[int], int], duration_s: float) -> None:
    """Workers have a limit for a while."""
    before = {pid: resource.prlimit(pid, kind) for pid in rig.worker_pids()}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, kind, (of(pid), hard))
    time.sleep(duration_s)
    for pid, pair in before.items():
        if alive(pid):
            resource.prlimit(pid, kind, pair)
    rig.mark()
    rig.answers(50)


def descriptors(rig: Rig, *, full: bool) -> str:
    """More clients than a worker has descriptors for: of those who come, one at a time."""
    idle = rig.before
    limits(rig, resource.RLIMIT_NOFILE, lambda pid: idle[pid].free_fd + 1, 5 if full else 1)
    return "workers may open one descriptor"


ROOM = 8 << 20


def memory(rig: Rig, *, full: bool) -> str:
    """Requests for 64 MiB find no room, small ones do, in whichever thread they are."""
    idle = rig.before
    limits(rig, resource.RLIMIT_AS, lambda pid: idle[pid].mapped_bytes + ROOM, 5 if full else 1)
    return "workers may map 8 MiB more"


def memory_once(rig: Rig, *, full: bool) -> str:
    """The first shortage leaves what it takes to tell of one."""
    rig.hold()
    return memory(rig, full=full)


def file_size(rig: Rig, *, full: bool) -> str:
    limits(rig, resource.RLIMIT_FSIZE, lambda pid: 256 << 10, 5 if full else 1)
    return "access log on /dev/full, uploads cannot be kept"


def full_disk(rig: Rig, *, full: bool) -> str:
    assert rig.disk
    ballast = rig.disk / "ballast"
    until = seconds(5 if full else 1)
    with ballast.open("wb", buffering=0) as f:
        while time.monotonic() < until:
            try:
                f.write(b"x" * 4096)
            except OSError:
                time.sleep(0.01)  # an upload that ends gives its space back
    ballast.unlink()
    rig.mark()
    rig.answers(50)
    return "no space for logs and uploads"


@dataclass(frozen=True)
class Scenario:
    name: str
    act: Callable[..., str]
    rule: Rule
    args: Sequence[str] = ()
    load: Sequence[str] = ()
    workers: int = 2
    work_s: float = 0.002
    #: Connection modes that it is about.
    modes: Sequence[str] = ("close", "keep-alive")
    #: Worker classes besides sync and async that it is played with.
    more: Sequence[str] = ()
    #: Done once before anything is counted.
    first: Callable[..., str] | None = None
    #: Ends the server.
    ends: bool = False
    #: Logs and uploads are on a small file system of their own.
    disk: bool = False
    #: Clients come by a socket file.
    unix: bool = False


#: And more than a request may take on a busy machine.
LESS_THAN_A_FREEZE = ("--timeout", "4", "--boot-timeout", "60")
SLOW = {"work_s": 0.02, "load": ("--clients", "32", "--pause", "0")}
#: Four threads serve four requests at once, which matters where workers come and go.
FOUR = ("async-4",)
UPLOADS = ("--paths", "/work,/work,/upload", "--upload", "500000")

SCENARIOS = [
    Scenario("reload", reload, none, more=FOUR),
    Scenario("reload-rolling", reload, none, ("--rolling-reload", "1"), workers=4),
    Scenario("upgrade", upgrade, none, first=upgrade, more=FOUR),
    Scenario("upgrade-winch", upgrade_winch, none, first=upgrade),
    Scenario("recycle-requests", recycle, none, ("--max-requests", "50"), more=FOUR),
    Scenario("recycle-age", recycle, none, ("--max-worker-lifetime", "3"), workers=4),
    Scenario(
        "recycle-memory",
        recycle_memory,
        none,
        ("--reload-on-rss", "64"),
        ("--paths", "/work,/work,/keep"),
    ),
    Scenario("reload-unix", reload, none, unix=True),
    Scenario("upgrade-unix", upgrade, none, first=upgrade, unix=True),
    Scenario("scale", scale, none, more=FOUR),
    Scenario("broken", broken, none),
    Scenario(
        "idle",
        idle,
        none,
        ("--keep-alive", "1"),
        ("--clients", "48", "--pause", "1"),
        modes=("keep-alive",),
    ),
    Scenario("backlog", backlog, only_unheard, ("--backlog", "4"), modes=("close",), **SLOW),
    Scenario("stop", stop, only_after, ends=True, more=FOUR, **SLOW),
    Scenario("stop-unix", stop, only_after, ends=True, unix=True, **SLOW),
    Scenario("kill-master", kill_master, only_after, ends=True, **SLOW),
    Scenario("kill-workers", kill_workers, only_in_killed, workers=4, more=FOUR),
    Scenario("freeze-worker", freeze_worker, none, more=FOUR),
    Scenario("freeze-workers", freeze_workers, none),
    Scenario("freeze-master", freeze_master, none, LESS_THAN_A_FREEZE),
    Scenario("freeze-all", freeze_all, none, LESS_THAN_A_FREEZE),
    Scenario("descriptors", descriptors, none, load=("--clients", "32"), more=FOUR),
    Scenario("starved-master", starved_master, none),
    Scenario(
        "memory",
        memory,
        only_during,
        load=("--paths", "/work,/work,/grow"),
        first=memory_once,
        more=FOUR,
    ),
    Scenario("file-size", file_size, only_during, ("--access-logfile", "/dev/full"), UPLOADS),
    Scenario("full-disk", full_disk, only_during, load=UPLOADS, disk=True),
]
