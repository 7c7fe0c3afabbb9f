# SPDX-License-Identifier: MIT
"""Time is measured by the monotonic clock, less the time in which the server itself stood still: a
wall clock that jumps and a machine that was suspended cost no request and no worker."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, poll, server_environment

Serve = Callable[..., Server]

ROOT = Path(__file__).resolve().parents[2]

#: /wait is in the application until there is a file "go"; all answer with the time of day.
APP = """
import pathlib, time
def app(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        pathlib.Path("entered").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(int(time.time())).encode()]
"""

#: Adds the seconds in the file $SKEW to every reading of the wall clock.
SKEW = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long skew(void) {
    const char *path = getenv("SKEW");
    FILE *f = path ? fopen(path, "re") : NULL;
    long seconds = 0;
    if (f) {
        if (fscanf(f, "%ld", &seconds) != 1)
            seconds = 0;
        fclose(f);
    }
    return seconds;
}

int clock_gettime(clockid_t id, struct timespec *t) {
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += skew();
    return rc;
}

time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t)
        *t = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
"""

#: The boot of a worker on a busy machine may last longer than a request may here.
BOOT = ("--boot-timeout", "60")

YEARS = 10 * 365 * 24 * 3600


def waiting(server: Server) -> Client:
    """A client whose request is in the application."""
    client = server.connect()
    client.send_request("GET", "/wait")
    poll((server.directory / "entered").exists, "the request is in the application")
    return client


def stand_still(pids: list[int], seconds: float) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)  # what is tested: time passes
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_a_master_that_stood_still_alone_kills_nobody(serve: Serve, worker_class: str) -> None:
    """Its workers have gone on all the while."""
    server = serve(APP, "-k", worker_class, "-w", "2", "--timeout", "5", *BOOT)
    workers = server.wait_workers(2)
    assert server.get().status == 200
    server.send_signal(signal.SIGSTOP)
    for _ in range(12):
        assert server.get().status == 200
        time.sleep(0.5)
    server.send_signal(signal.SIGCONT)
    server.send_signal(signal.SIGTTIN)
    server.wait_workers(3)  # it has looked at the others since
    assert server.get().status == 200
    assert set(workers) <= set(server.workers())
    assert "TIMEOUT" not in server.log


def test_a_machine_that_stood_still_breaks_off_no_request(serve: Serve, worker_class: str) -> None:
    server = serve(APP, "-k", worker_class, "--timeout", "10", *BOOT)
    workers = server.wait_workers(1)
    with waiting(server) as client:
        # Longer than the timeout, of which this request has used nearly nothing.
        stand_still([server.pid, *workers], 11.5)
        (server.directory / "go").touch()
        assert client.response().status == 200
    assert server.workers() == workers
    assert "TIMEOUT" not in server.log


@pytest.fixture
def skewed(tmp_path: Path) -> dict[str, str]:
    """An environment in which the file "skew" says by how much the wall clock is wrong."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("needs a C compiler")
    (tmp_path / "skew.c").write_text(SKEW)
    library = tmp_path / "skew.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(tmp_path / "skew.c")]
    subprocess.run(command, check=True)
    preload = [*server_environment().get("LD_PRELOAD", "").split(), str(library)]
    return {"LD_PRELOAD": " ".join(preload), "SKEW": str(tmp_path / "skew")}


@pytest.mark.parametrize("by", [YEARS, -YEARS], ids=["forward", "back"])
def test_a_wall_clock_that_jumps_changes_dates_and_nothing_else(
    serve: Serve, skewed: dict[str, str], worker_class: str, by: int
) -> None:
    args = ("-k", worker_class, "-w", "2", "--timeout", "30", "--keep-alive", "60")
    server = serve(APP, *args, env=skewed)
    workers = server.wait_workers(2)
    with server.connect() as idle, server.connect() as slow, waiting(server) as running:
        idle.send_request("GET", "/")
        assert abs(int(idle.response().body) - time.time()) < 3600
        slow.send(b"GET / HTTP/1.1\r\n")
        (server.directory / "skew").write_text(f"{by}\n")
        server.send_signal(signal.SIGTTIN)
        workers += [pid for pid in server.wait_workers(3) if pid not in workers]
        time.sleep(1.5)  # each process has looked at its clocks
        (server.directory / "go").touch()
        for client, request in ((running, b""), (slow, b"Host: x\r\n\r\n")):
            client.send(request)
            response = client.response()
            assert response.status == 200
            assert abs(int(response.body) - time.time() - by) < 3600
        if worker_class == "async":
            idle.send_request("GET", "/")
            assert idle.response().status == 200
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    poll(lambda: not set(workers) & set(server.workers()), "the old workers have left")
    assert server.get().status == 200
    assert server.stop() == 0
    assert not re.search("TIMEOUT|did not end in time|graceful timeout", server.log), server.log


def test_python_code_measures_no_time_by_the_wall_clock() -> None:
    dates_only = {
        "glogging.py",  # the stamp of a line
        "uwsgi/ini.py",  # the variables %t and %T
        "watched_files.py",  # beside the times of files
    }
    package = ROOT / "pyext/cgunicorn"
    reads = re.compile(r"\btime\.time(_ns)?\(|datetime\.(now|utcnow|today)\(")
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if reads.search(path.read_text())
    }
    assert found <= dates_only
