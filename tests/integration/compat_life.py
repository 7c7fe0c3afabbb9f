# SPDX-License-Identifier: MIT
"""Scenarios that are lives of a server: which hooks are called in which process and in which order,
what is logged, which signals do what, what is left behind.

What two processes do at the same time has no order, so each process is looked at for itself:
`master` and `worker 1`, `worker 2`, ... by the age that hooks see. Nor has what the master does and
when it finds a child ended, so child_exit is apart.
"""

from __future__ import annotations

import os
import re
import signal
from collections import defaultdict
from collections.abc import Callable

from compat import APP, Findings, Scenario, Subject
from harness import Server, poll

#: Records every hook with its process and what it sees.
CONFIG = """
import os

def record(name, *seen):
    with open("hooks", "a") as f:
        f.write(f"{os.getpid()} {name} {' '.join(map(str, seen))}".strip() + "\\n")

def on_starting(server):
    record("on_starting", len(server.LISTENERS), server.num_workers, server.pid == os.getpid())

def when_ready(server):
    record("when_ready", len(server.LISTENERS), len(server.WORKERS))

def on_reload(server):
    record("on_reload", server.num_workers)

def nworkers_changed(server, new, old):
    record("nworkers_changed", new, old)

def pre_fork(server, worker):
    record("pre_fork", worker.age, worker.pid)

def post_fork(server, worker):
    record("post_fork", worker.age, worker.pid == os.getpid(), worker.booted)

def post_worker_init(worker):
    record("post_worker_init", worker.booted, worker.alive, callable(worker.wsgi), worker.nr)

def worker_int(worker):
    record("worker_int", worker.age)

def worker_abort(worker):
    record("worker_abort", worker.age)

def pre_request(worker, req):
    record("pre_request", req.method, req.uri, req.path, req.query, req.version, req.scheme)

def post_request(worker, req, environ, resp):
    record("post_request", req.path, environ["REQUEST_METHOD"], resp.status, resp.sent)

def worker_exit(server, worker):
    record("worker_exit", worker.age)

def child_exit(server, worker):
    record("child_exit", worker.age)

def pre_exec(server):
    record("pre_exec")

def on_exit(server):
    record("on_exit")
"""
WITH_PID = APP.replace("def app", "import os\ndef app").replace('b"hi"', "b'%7d' % os.getpid()")


class Life:
    """A server with all hooks and an access log; what it did, process by process."""

    def __init__(self, subject: Subject, *args: str, app: str = APP, wait: bool = True) -> None:
        self.subject = subject
        (subject.folder / "recording.py").write_text(CONFIG)
        (subject.folder / "hooks").touch()
        recording = ("-c", "recording.py", "--access-logfile", "-")
        self.server: Server = subject.serve(app, *recording, *args, wait=wait)

    @property
    def hooks(self) -> str:
        return (self.subject.folder / "hooks").read_text()

    def wait_hook(self, pattern: str, count: int = 1) -> None:
        found = re.compile(rf"(?m)^\d+ {pattern}$")
        poll(lambda: len(found.findall(self.hooks)) >= count, f"{count} {pattern}: {self.hooks}")

    def booted(self, n: int = 1) -> None:
        """Waits until n workers in all have loaded their application."""
        self.wait_hook("post_worker_init .*", n)

    def signal(self, name: str) -> None:
        """Sends a signal to the master and waits until it says so."""
        line = f"Handling signal: {name}\n"
        n = self.server.log.count(line)
        self.server.send_signal(getattr(signal, f"SIG{name.upper()}"))
        self.server.wait_log(line, count=n + 1)

    def end(self, name: str = "term") -> Findings:
        """Stops the server, if it has not ended by itself, and tells what it did."""
        if name:
            self.server.send_signal(getattr(signal, f"SIG{name.upper()}"))
        code = self.server.wait()
        found: defaultdict[str, list[str]] = defaultdict(list)
        ages = dict(re.findall(r"(?m)^(\d+) post_fork (\d+)", self.hooks))
        for line in self.hooks.splitlines():
            pid, _, told = line.partition(" ")
            reaped = ", child_exit" if told.startswith("child_exit") else ""
            found[f"hooks of {self.process(pid, ages)}{reaped}"].append(told)
        for pid, told in re.findall(r"(?m)^\[[^]]* \+\d{4}\] \[(\d+)\] (.*)$", self.server.log):
            told = re.sub(r"\d+", lambda m: self.process(m[0], ages, m[0]), told)
            told = re.sub(r"(new master with pid:) \d+", r"\1 N", told)
            told = re.sub(r"(is running for) \d+ s", r"\1 N s", told)
            found[f"log of {self.process(pid, ages)}"] += self.subject.plain(told)
        found["end"].append(f"exit {code}")
        files = {path.name for path in self.subject.folder.iterdir()}
        found["files left"] += sorted(f for f in files if not re.search(r"\.(py|log)$", f))
        return found

    def process(self, pid: str, ages: dict[str, str], otherwise: str = "another") -> str:
        if int(pid) == self.server.pid:
            return "master"
        return f"worker {ages[pid]}" if pid in ages else otherwise


def stopped_by(name: str) -> Scenario:
    def scenario(subject: Subject) -> Findings:
        life = Life(subject)
        life.booted()
        life.server.get("/a?b=c")
        life.server.get("/d")
        life.wait_hook("post_request .*", 2)
        return life.end(name)

    return scenario


def hup(subject: Subject) -> Findings:
    life = Life(subject, "-p", "pid")
    life.booted()
    pid = (subject.folder / "pid").read_text()
    life.signal("hup")
    life.booted(2)
    life.wait_hook("child_exit 1")
    left = (subject.folder / "pid").read_text()
    return {
        **life.end(),
        "pidfile": [str(int(pid) == life.server.pid), str(left == pid)],
    }


def ttin_ttou(subject: Subject) -> Findings:
    life = Life(subject)
    life.booted()
    life.signal("ttin")
    life.booted(2)
    life.signal("ttou")
    life.wait_hook("child_exit 1")
    life.signal("ttou")
    return life.end()


def no_workers(subject: Subject) -> Findings:
    """Only for who counts them: what each of them does is the same."""
    life = Life(subject, "-w", "0")
    life.wait_hook("when_ready .*")
    life.signal("ttin")
    life.booted(1 if subject.name == "gunicorn" else 2)
    n = life.hooks.count("post_worker_init")
    return {"workers": [f"{n} after TTIN"], "end": life.end()["end"]}


def usr1_winch(subject: Subject) -> Findings:
    life = Life(subject, "--error-logfile", "-")
    life.booted()
    life.signal("usr1")
    life.signal("winch")
    return life.end()


def recycled(subject: Subject) -> Findings:
    life = Life(subject, "--max-requests", "2")
    life.booted()
    life.server.get("/a")
    life.server.get("/b")
    life.booted(2)
    life.wait_hook("child_exit 1")
    successor = (
        "after"
        if life.hooks.index("child_exit") < life.hooks.rindex("post_worker_init")
        else "before"
    )
    return {**life.end(), "successor": [f"ready {successor} the worker has ended"]}


def killed(subject: Subject) -> Findings:
    life = Life(subject)
    life.booted()
    (worker,) = life.server.wait_workers(1)
    os.kill(worker, signal.SIGKILL)
    life.booted(2)
    life.wait_hook("child_exit 1")
    return life.end()


def worker_told(name: str) -> Scenario:
    """A signal to the worker instead of the master."""

    def scenario(subject: Subject) -> Findings:
        life = Life(subject)
        life.booted()
        (worker,) = life.server.wait_workers(1)
        os.kill(worker, getattr(signal, f"SIG{name.upper()}"))
        life.booted(2)
        life.wait_hook("child_exit 1")
        return life.end()

    return scenario


def preload(subject: Subject) -> Findings:
    app = "import os\nprint('loaded by', os.getpid(), os.environ['A'], flush=True)\n" + APP
    life = Life(subject, "--preload", "-e", "A=b=c", app=app)
    life.booted()
    life.signal("hup")
    life.booted(2)
    life.wait_hook("child_exit 1")
    found = life.end()
    loads = re.findall(r"loaded by (\d+) (.*)", life.server.log)
    return {
        "loaded": [f"{life.process(pid, {}, 'worker')} {value}" for pid, value in loads],
        **{name: lines for name, lines in found.items() if "master" in name or name == "end"},
    }


def times_out(subject: Subject) -> Findings:
    life = Life(
        subject, "-t", "6", app="import time\n" + APP.replace("    s", "    time.sleep(60); s")
    )
    life.booted()
    with life.server.connect() as client:
        client.send_request("GET", "/slow")
        life.wait_hook("child_exit 1")
    life.booted(2)
    return life.end()


def not_booting(app: str, spec: str = "app:app") -> Scenario:
    def scenario(subject: Subject) -> Findings:
        (subject.folder / "broken.py").write_text(app)
        args = ("-p", "pid", "-c", "recording.py")
        (subject.folder / "recording.py").write_text(CONFIG)
        lines = subject.run("-b", "127.0.0.1:0", *args, spec)
        return {
            "told": [
                re.sub(r"\d+", "N", re.sub(r"^\[.*?\] \[\d+\] ", "", ln)) for ln in lines[:-1]
            ],
            "end": lines[-1:],
            "files left": [str((subject.folder / "pid").exists())],
        }

    return scenario


def bind_in_use(subject: Subject) -> Findings:
    first = subject.serve()
    lines = subject.run("-b", f"127.0.0.1:{first.port}", "app:app")
    return {"told": [re.sub(r"^\[.*?\] \[\d+\] ", "", line) for line in lines]}


def upgrade(subject: Subject) -> Findings:
    life = Life(subject, "-p", "pid", app=WITH_PID)
    life.booted()
    life.signal("usr2")
    second = subject.folder / "pid.2"
    poll(second.exists, "the second pidfile")
    life.booted(2)
    new = int(second.read_text())
    found = dict(life.end())
    poll(lambda: (subject.folder / "pid").exists() and not second.exists(), "the promotion")
    life.server.wait_log("Master has been promoted.")
    os.kill(new, signal.SIGTERM)
    poll(lambda: not (subject.folder / "pid").exists(), "the end of the new master")
    return {name: lines for name, lines in found.items() if "master" in name or "worker 1" in name}


def unix_socket(subject: Subject) -> Findings:
    server = subject.serve(bind=["unix:a.sock", "unix:b.sock"], wait=False)
    subject.wait_hearing(server)
    modes = [oct((subject.folder / f"{n}.sock").stat().st_mode) for n in "ab"]
    code = server.stop()
    return {
        "log": subject.plain("\n".join(re.findall(r"Listening at: .* ", server.log))),
        "modes": modes,
        "left": [str((subject.folder / "a.sock").exists()), f"exit {code}"],
    }


def control_socket(subject: Subject) -> Findings:
    subject.has_control_socket = True
    life = Life(subject)
    life.booted()
    if subject.name == "gunicorn":
        life.server.wait_log("Control socket")
    return life.end()


SCENARIOS: dict[str, Callable[[Subject], Findings]] = {
    "int": stopped_by("int"),
    "term": stopped_by("term"),
    "quit": stopped_by("quit"),
    "hup": hup,
    "ttin-ttou": ttin_ttou,
    "no-workers": no_workers,
    "usr1-winch": usr1_winch,
    "recycled": recycled,
    "killed": killed,
    "worker-term": worker_told("term"),
    "worker-int": worker_told("int"),
    "preload": preload,
    "timeout": times_out,
    "boot-raises": not_booting("1 / 0\n", "broken:app"),
    "boot-no-app": not_booting("", "broken:app"),
    "boot-no-module": not_booting("", "nowhere:app"),
    "bind-in-use": bind_in_use,
    "usr2": upgrade,
    "unix-socket": unix_socket,
    "control-socket": control_socket,
}
