# SPDX-License-Identifier: MIT
"""`server`, `worker` and what hangs on them, as hooks get them: the attributes are Gunicorn's. The
processes themselves are the C code's, which tells what happens (hooks.py); what these objects are
asked to do they ask of it, by signals."""

from __future__ import annotations

import os
import signal
import socket
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from cgunicorn import _cgunicorn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.config import Config
    from cgunicorn.glogging import Logger
    from cgunicorn.runtime import Runtime


class _Borrowed(socket.socket):
    """A socket on a descriptor of the server's, which is never closed here."""

    def close(self) -> None:
        self.detach()

    def __del__(self) -> None:
        self.detach()


class Listener:
    """A listening socket. str() is its address as in the log: `http://127.0.0.1:8000`. What it is
    asked for stays true when the server has closed it; `sock` is then an OSError."""

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        self._name = name
        self.family = self.sock.family
        self.cfg_addr = self.sock.getsockname()

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"<Listener {self._name}>"

    def fileno(self) -> int:
        return self._fd

    @property
    def sock(self) -> socket.socket:
        borrowed = _Borrowed(fileno=self._fd)
        borrowed.setblocking(False)  # as it is
        return borrowed

    def getsockname(self) -> Any:
        return self.cfg_addr


class Application:
    """Where Gunicorn has the object that loads the application."""

    prog = "cgunicorn"
    usage = "%(prog)s [OPTIONS] [APP_MODULE]"
    logger = None

    def __init__(self, server: Server, runtime: Runtime) -> None:
        self._server = server
        self._runtime = runtime

    @property
    def cfg(self) -> Config:
        return self._server.cfg

    @property
    def app_uri(self) -> str:
        return self.cfg.app_spec

    @property
    def callable(self) -> WSGIApplication | None:
        """The application, where it is loaded already."""
        return self._runtime.loaded(self.cfg)

    def wsgi(self) -> WSGIApplication:
        """The application. In the master this loads it for all workers, as preload_app does."""
        return self._runtime.load(self.cfg)


class Server:
    """The master.

    cfg, log, app           the configuration in force, the logger, the application
    pid, master_pid         of the master; of the one before it while that lives, after USR2
    reexec_pid              of the one after it, after USR2
    WORKERS, LISTENERS      {pid: Worker} and [Listener]
    num_workers             how many are wanted; may be set
    worker_age              of the youngest worker
    address                 where it listens: (host, port), paths and descriptors
    """

    WORKER_BOOT_ERROR = 3  # exit codes
    APP_LOAD_ERROR = 4
    SIGNALS = tuple(
        getattr(signal, f"SIG{name}")
        for name in ("HUP", "QUIT", "INT", "TERM", "TTIN", "TTOU", "USR1", "USR2", "WINCH")
    )

    def __init__(self, runtime: Runtime, directory: str) -> None:
        self._runtime = runtime
        self.cfg = runtime.config
        self.app = Application(self, runtime)
        self.pid: int | None = None
        self.master_pid = 0
        self.reexec_pid = 0
        self.master_name = "Master"
        self.WORKERS: dict[int, Worker] = {}
        self.LISTENERS: list[Listener] = []
        self.worker_age = 0
        self.systemd = False
        self.worker_class = Worker
        self._num_workers = 0
        self.START_CTX = {"args": list(sys.argv), "cwd": directory, 0: sys.executable}

    @property
    def log(self) -> Logger:
        return self._runtime.logger

    @property
    def timeout(self) -> int:
        return int(self.cfg.timeout)

    @property
    def proc_name(self) -> str:
        return str(self.cfg.proc_name)

    @property
    def pidfile(self) -> Any:
        """An object with `fname` and `pid`, or None."""
        fname = self.cfg.pidfile
        return SimpleNamespace(fname=fname, pid=self.pid) if fname else None

    @property
    def address(self) -> list[Any]:
        return self.cfg.address

    @property
    def num_workers(self) -> int:
        return self._num_workers

    @num_workers.setter
    def num_workers(self, n: int) -> None:
        change = n - self._num_workers
        self._num_workers = n
        for _ in range(abs(change)):
            self._tell(signal.SIGTTIN if change > 0 else signal.SIGTTOU)

    def set_num_workers(self, n: int) -> None:
        """It has changed."""
        self._num_workers = n

    # What the master is asked to do. It does so as soon as the hook has returned.

    def spawn_worker(self) -> None:
        """One worker more."""
        self._tell(signal.SIGTTIN)

    def manage_workers(self) -> None:
        """Nothing: the master always sees to it that there are as many as are wanted."""

    def kill_worker(self, pid: int, sig: int) -> None:
        os.kill(pid, sig)

    def kill_workers(self, sig: int) -> None:
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    def reload(self) -> None:
        self._tell(signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        self._tell(signal.SIGTERM if graceful else signal.SIGQUIT)

    def halt(self, reason: str | None = None, exit_status: int = 0) -> NoReturn:
        """Ends the server, out of the hook that calls this."""
        if reason is not None:
            self.log.error("Reason: %s", reason)
        raise SystemExit(exit_status)

    def reexec(self) -> None:
        self._tell(signal.SIGUSR2)

    def _tell(self, sig: int) -> None:
        os.kill(self.pid or os.getpid(), sig)


class WorkerTmp:
    """The worker's sign of life. There is no file behind it: fileno() is -1."""

    def __init__(self, slot: _cgunicorn.Slot) -> None:
        self._slot: _cgunicorn.Slot | None = slot
        self._last = 0.0

    def notify(self) -> None:
        """Says that the worker is alive, as a long call may do that knows it will take long."""
        if self._slot:
            self._slot.beat()

    def last_update(self) -> float:
        """When that was, in seconds of time.monotonic()."""
        if self._slot:
            self._last = self._slot.last_beat()
        return self._last

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        self.last_update()
        self._slot = None


class Worker:
    """A worker: made in the master before the fork, so that each side has its copy.

    pid, ppid, age     "[booting]" before the fork; 1, 2, 3 ...
    nr, max_requests   requests so far, in the worker itself; the one to leave with
    alive              False when it finishes its last requests; set to False, it begins to
    booted, aborted    the application is loaded; always False here
    timeout            half of the setting, as Gunicorn has it
    wsgi               the application, in the worker itself
    sockets            [Listener]
    cfg, log, app, tmp, reloader
    """

    def __init__(self, server: Server, slot: _cgunicorn.Slot) -> None:
        self._slot = slot
        self.pid: int | str = "[booting]"
        self.ppid = os.getpid()
        self.age = server.worker_age
        self.cfg = server.cfg
        self.log = server.log
        self.app = server.app
        self.sockets = server.LISTENERS
        self.timeout = self.cfg.timeout / 2.0
        self.max_requests = sys.maxsize
        self.booted = False
        self.aborted = False
        self.reloader: Any = None
        self.wsgi: Any = None
        self.tmp = WorkerTmp(slot)
        self._stopped = False

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    def begin(self, requests_max: int) -> None:
        """In the process itself."""
        self.pid = os.getpid()
        self.max_requests = requests_max or sys.maxsize

    @property
    def nr(self) -> int:
        return self._slot.requests

    @property
    def alive(self) -> bool:
        return not self._stopped and not self._slot.is_leaving

    @alive.setter
    def alive(self, value: bool) -> None:
        if not value and self.alive and self.pid == os.getpid():
            self._stopped = True
            _cgunicorn.take_signal(signal.SIGTERM)

    @property
    def timed_out(self) -> bool:
        """Whether it leaves because a request has exceeded the timeout."""
        return self._slot.is_timed_out

    def notify(self) -> None:
        self.tmp.notify()
