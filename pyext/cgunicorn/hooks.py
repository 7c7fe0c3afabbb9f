# SPDX-License-Identifier: MIT
"""When which server hook is called, with what, and what becomes of its exceptions.

The C code calls moment() in the master (server/arbiter/moment.def has the moments), and in a worker
of_requests(), interrupted() and leave(). Hooks are those of the configuration in force: of a
reload's own from the moment it begins, while old workers keep theirs.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from cgunicorn import _cgunicorn
from cgunicorn.server_object import Listener, Server, Worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.config import Config
    from cgunicorn.runtime import Runtime

_T = TypeVar("_T")

#: Exit codes, as Gunicorn's: for an exception before the server is ready, and after.
_FAILED_START = 1
_FAILED_LOOP = 255

_ABORTED = 1


def run_foreign(code: Callable[..., _T], *args: object) -> _T:
    """Calls code of the user's. A process that it has forked does not come back from here."""
    try:
        result = code(*args)
    except BaseException as error:
        _cgunicorn.end_copy(error)
        raise
    _cgunicorn.end_copy(None)
    return result


class Hooks:
    """Of one process: the master's, of which each worker has a copy from the fork."""

    worker: Worker  # the newest; in a worker process its own

    def __init__(self, runtime: Runtime, directory: str) -> None:
        self._runtime = runtime
        self.server = Server(runtime, directory)
        self._ready = False
        self.was_interrupted = False  # the worker is told to quit
        self._was_aborted = False
        self._exit_code = 0  # of an abort, or of a signal handler's sys.exit()

    def is_in_worker(self) -> bool:
        worker = getattr(self, "worker", None)
        return worker is not None and worker.pid == os.getpid()

    # In the master. A method for each moment gets what C knows of it and returns the exit code to
    # end with, or None to go on.

    def moment(self, name: str, config: Config | None, details: tuple[object, ...]) -> int | None:
        """Called by C. Without a configuration the last one is still in force."""
        if config is not None:
            self.server.cfg = config
        code: int | None = getattr(self, f"_{name}")(*details)
        return code

    def _nworkers_changed(self, new: int, old: int) -> int | None:
        if old < 0:
            self.server.pid = os.getpid()
        self.server.set_num_workers(new)
        return self._run("nworkers_changed", self.server, new, None if old < 0 else old)

    def _on_starting(self) -> int | None:
        return self._run("on_starting", self.server)

    def _when_ready(self, listeners: list[tuple[int, str]]) -> int | None:
        self._set_listeners(listeners)
        code = self._run("when_ready", self.server)
        self._ready = True
        return code

    def _on_reload(self, listeners: list[tuple[int, str]]) -> int | None:
        self._set_listeners(listeners)
        return self._run("on_reload", self.server)

    def _pre_fork(
        self, age: int, listeners: list[tuple[int, str]], slot: _cgunicorn.Slot
    ) -> int | None:
        self._set_listeners(listeners)
        self.server.worker_age = age
        self.worker = Worker(self.server, slot)
        return self._run("pre_fork", self.server, self.worker)

    def _forked(self, pid: int) -> None:
        self.worker.pid = pid
        self.server.WORKERS[pid] = self.worker

    def _child_exit(self, pid: int, halts: bool) -> None:
        worker = self.server.WORKERS.pop(pid, None)
        if not worker:
            return
        worker.tmp.close()
        if not halts:
            self._run_guarded("child_exit", self.server, worker)

    def _pre_exec(self) -> int | None:
        return self._run("pre_exec", self.server)

    def _on_exit(self) -> int | None:
        self._set_listeners([])
        self._ready = False
        return self._run("on_exit", self.server)

    def _set_listeners(self, listeners: list[tuple[int, str]]) -> None:
        self.server.LISTENERS = [Listener(fd, name) for fd, name in listeners]

    # In a worker.

    def post_fork(self, requests_max: int) -> None:
        """First of all: the process has its own pid, nothing else has been done."""
        self.worker.begin(requests_max)
        self._call("post_fork", self.server, self.worker)
        self._runtime.divert_logs()

    def post_worker_init(self, app: WSGIApplication) -> WSGIApplication:
        """The application is loaded. The hook may put another one in its place, in worker.wsgi."""
        self.worker.wsgi = app
        self._call("post_worker_init", self.worker)
        self.worker.booted = True
        return self.worker.wsgi

    def of_requests(self) -> tuple[Worker, Any, Any, int]:
        """Called by C: the worker, pre_request or None, post_request or None, and how many
        arguments that takes."""
        cfg = self.worker.cfg
        pre = cfg.pre_request
        if pre is None and cfg.loglevel == "debug":
            pre = _log_request
        post = cfg.post_request
        return self.worker, pre, post, _arity(post) if post else 0

    def catch_abort(self) -> None:
        """Called by C before the worker boots."""
        if self.worker.cfg.worker_abort is not None:
            signal.signal(signal.SIGABRT, self.aborted)

    def be_woken_by(self, fd: int) -> None:
        """Called by C before the worker boots: signals are written to this descriptor, but not by
        processes that the application forks."""

        def forget() -> None:
            before = signal.set_wakeup_fd(-1)
            if before not in (fd, -1):
                with contextlib.suppress(ValueError, OSError):
                    signal.set_wakeup_fd(before)  # the application's

        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=forget)

    # Python's handlers of the signals that the worker handles. It is C that does, until the
    # application has handlers of its own, which may call these.

    def signalled(self, number: int, _: object) -> None:
        """TERM and others that break nothing off."""
        _cgunicorn.take_signal(number)

    def interrupted(self, number: int, _: object) -> NoReturn:
        """INT or QUIT. Called in the main thread, too, when a quick stop finds the application
        running."""
        _cgunicorn.take_signal(number)
        self.worker_int()
        raise SystemExit

    def told_to_exit(self, leaving: BaseException) -> None:
        """Called by C: a signal handler of the application's has raised this in an idle worker."""
        if isinstance(leaving, SystemExit):
            self._exit_code = _code_of(leaving)

    def worker_int(self) -> None:
        """INT or QUIT has come: the hook is called once."""
        if not self.was_interrupted:
            self.was_interrupted = True
            self._run_guarded("worker_int", self.worker)

    def aborted(self, *_: object) -> None:
        """ABRT has come, to a worker that has exceeded its timeout: a quick stop that tells the
        other hook."""
        self._exit_code = _ABORTED
        self.was_interrupted = True
        self._worker_abort()
        os.kill(os.getpid(), signal.SIGQUIT)

    def _worker_abort(self) -> None:
        if not self._was_aborted:
            self._was_aborted = True
            self._run_guarded("worker_abort", self.worker)

    def leave(self, exit_code: int, quick: bool) -> int:
        """Called by C at the end of a worker, also of one that has not booted. The exit code."""
        if quick:
            self.worker_int()
        if self.worker.timed_out:
            self._worker_abort()
        self.worker.tmp.close()
        try:
            self._call("worker_exit", self.server, self.worker)
        except (Exception, SystemExit):  # noqa: BLE001 - the user's code may raise any
            import traceback

            text = traceback.format_exc().rstrip()
            self.worker.log.warning("Exception during worker exit:\n%s", text)
        return self._exit_code or exit_code

    # Calling.

    def _call(self, name: str, *args: object) -> None:
        hook = getattr(self.server.cfg, name)
        if hook is not None:
            run_foreign(hook, *args)

    def _run(self, name: str, *args: object) -> int | None:
        """In the master: an exception ends the server."""
        try:
            self._call(name, *args)
            self._runtime.divert_logs()
        except SystemExit as leaving:
            return _code_of(leaving)
        except KeyboardInterrupt:
            return 0
        except Exception:
            if self._ready:
                self.server.log.exception("Unhandled exception in main loop (hook %s)", name)
                return _FAILED_LOOP
            self.server.log.exception("Exception in %s hook", name)
            return _FAILED_START
        return None

    def _run_guarded(self, name: str, *args: object) -> None:
        """Where something has happened that an exception does not undo."""
        try:
            self._call(name, *args)
        except (Exception, SystemExit):
            self.server.log.exception("Exception in %s hook", name)


def _log_request(worker: Worker, req: Any) -> None:
    """pre_request where there is none, at the level debug."""
    worker.log.debug("%s %s", req.method, req.path)


def _code_of(leaving: SystemExit) -> int:
    """What sys.exit() makes of its argument."""
    if leaving.code is None:
        return 0
    return leaving.code & 0xFF if isinstance(leaving.code, int) else 1


def _arity(post_request: Callable[..., object]) -> int:
    """How many arguments of (worker, req, environ, resp) it takes; all where it does not say."""
    import inspect

    try:
        signature = inspect.signature(post_request)
    except (TypeError, ValueError):
        return 4
    for n in (4, 3, 2):
        try:
            signature.bind(*range(n))
        except TypeError:
            continue
        return n
    return 2
