# SPDX-License-Identifier: MIT
"""The Python side of a running server: what the C code calls for the configuration and the
application."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from cgunicorn import _cgunicorn, privileges
from cgunicorn.app_loader import load_configured
from cgunicorn.config import Config, Invocation, load
from cgunicorn.daemon import Daemon
from cgunicorn.errors import AppLoadError, ConfigError, user_traceback
from cgunicorn.glogging import Logger, is_ordinary, make_logger
from cgunicorn.hooks import Hooks, run_foreign
from cgunicorn.log_relay import Relay
from cgunicorn.reexec import execute
from cgunicorn.rehearsal import rehearse
from cgunicorn.surroundings import Surroundings
from cgunicorn.title import set_title

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.reloader import Reloader
    from cgunicorn.spew import Spew


class Runtime:
    """Holds the newest configuration, the loaded applications and the hooks. Made once, in the
    master; each worker has its copy from the fork."""

    config: Config
    logger: Logger
    daemon: Daemon | None = None  # while it is bound to a terminal
    is_open = False  # there are sockets, in the master or in those that made this worker

    def __init__(self, invocation: Invocation) -> None:
        """Reads the configuration and makes the process as it says. ConfigError."""
        os.environ["SERVER_SOFTWARE"] = f"cgunicorn/{_cgunicorn.version}"  # Gunicorn's habit
        self._invocation = invocation
        self._surroundings = Surroundings(invocation.directory)
        self._loaded: dict[str, WSGIApplication] = {}  # by app spec
        self.config = self._read()
        self._log_by(self.config)
        self.hooks = Hooks(self, invocation.directory)

    @staticmethod
    def do_nothing() -> None:
        """Entered to let another thread have the interpreter that has asked for it."""

    def preload(self) -> None:
        """Loads the application in this process, once. AppLoadError, or what its code raises."""
        _cgunicorn.watch_copies()
        self.load(self.config)

    def load(self, config: Config) -> WSGIApplication:
        """The application of a configuration, loaded in this process once."""
        spec = config.app_spec
        if spec not in self._loaded:
            self._loaded[spec] = run_foreign(self._load_anew, config)
        return self._loaded[spec]

    def _load_anew(self, config: Config) -> WSGIApplication:
        if self._invocation.program:
            return self._invocation.program.load(config)
        return load_configured(config)

    def loaded(self, config: Config) -> WSGIApplication | None:
        """The same, unless it would have to be loaded."""
        return self._loaded.get(config.app_spec)

    def opened(self) -> None:
        """Clients can connect, and no worker has been forked."""
        self.is_open = True
        self._show()
        _cgunicorn.log(logging.DEBUG, "Arbiter booted")
        self._settle()
        if self.daemon:
            self.daemon.detach()
            self.daemon = None

    def second_to(self, old_master: int) -> None:
        """This master is the second beside that one, or (0) the only one again."""
        self.hooks.server.master_pid = old_master
        self.hooks.server.master_name = "Master.2" if old_master else "Master"
        if self.is_open:
            self._set_title("master", self.config)

    def boot(self, config: Config, requests_max: int) -> WSGIApplication:
        """The application, for a new worker of the generation with this configuration: the old one
        goes on when the arbiter has given a newer one up. AppLoadError, or what the user's code
        raises."""
        _disown_processes()
        self.hooks.post_fork(requests_max)
        if config is not self.config:
            self._surroundings.restore()
            self._surroundings.apply(config)
        os.environ.update(config.env)  # once more, for what hooks have set
        self._set_title("worker", config)
        privileges.become(config)
        reloader = self.hooks.worker.reloader = self._make_reloader(config)
        spew = _start_spew() if config.spew else None
        application = self.hooks.post_worker_init(self._load_watched(config, reloader))
        if spew:
            application = spew.through(application)
        self.divert_logs()
        if config.worker_class != "sync":
            self._relay.start_thread()
        if reloader:
            reloader.start()
        return application

    def _make_reloader(self, config: Config) -> Reloader | None:
        if not config.reload:
            return None
        from cgunicorn.reloader import Reloader

        return Reloader(config, self.hooks)

    def _load_watched(self, config: Config, reloader: Reloader | None) -> WSGIApplication:
        """With a reloader, what cannot be loaded is replaced by an application that says why."""
        try:
            return self.load(config)
        except (Exception, SystemExit) as error:  # the user's code may raise any
            if not reloader or self.hooks.was_interrupted:
                raise
            return reloader.explain(error)

    def reload(self) -> Config | None:
        """Reads the configuration anew; None when that fails, after logging why: everything is
        then as before."""
        try:
            config = self._read()
            if config.preload_app:
                self.load(config)
            if not is_ordinary(config):
                rehearse(lambda: make_logger(config), "The new logging configuration")
            self._log_by(config)
        except ConfigError as error:
            self._stay(str(error), error.details)
        except AppLoadError as error:
            self._stay(str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise any
            self._stay("Error while loading the application.", user_traceback(error))
        else:
            self.config = config
            self.logger.reopen_files()
            for warning in config.warnings:
                _cgunicorn.log(logging.WARNING, warning)
            self._show()
            self._settle()
            return config
        return None

    def execute(self, variables: list[str]) -> None:
        """Becomes the command that this process was started with, with these variables more.
        Returns after logging what the system has against it."""
        start = self._invocation
        added = dict(v.split("=", 1) for v in variables)
        try:
            execute(start.directory, {**start.environ, **added})
        except OSError as error:
            what = f"{error.filename or sys.executable}: {error.strerror}"
            _cgunicorn.log(logging.ERROR, f"Can't start a new master: {what}")

    def divert_logs(self) -> None:
        """After code of the user's, which may have changed the loggers."""
        self._relay.divert()

    def _log_by(self, config: Config) -> None:
        """ConfigError: the loggers that were made before may have lost their handlers."""
        self.logger = make_logger(config)
        self._relay = Relay(self.logger, config)
        self._relay.divert()

    def _read(self) -> Config:
        self._surroundings.restore()
        config = load(self._invocation)
        self._surroundings.apply(config)
        privileges.check(config)
        return config

    def _show(self) -> None:
        if self.config.loglevel == "debug":
            _cgunicorn.log(logging.DEBUG, f"Current configuration:\n{self.config}")

    def _settle(self) -> None:
        """Before the workers of a configuration are forked. What is frozen is not touched by their
        garbage collections, so the memory it is in stays shared with the master; unfrozen in
        between, so that what former configurations leave behind can go."""
        self._set_title("master", self.config)
        threads_n = threading.active_count() - 1
        if self.config.preload_app and threads_n:
            _cgunicorn.log(
                logging.WARNING,
                f"The preloaded application has threads in the master ({threads_n}), which workers"
                " will not have: start them in post_fork or post_worker_init.",
            )
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def _set_title(self, role: str, config: Config) -> None:
        second = ".2" if self.hooks.server.master_pid else ""
        set_title(f"cgunicorn: {role} [{config.proc_name}{second}]")

    def _stay(self, why: str, details: str = "") -> None:
        """Goes back to the configuration in force."""
        _cgunicorn.log(logging.ERROR, f"{why}\n{details}".rstrip())
        with contextlib.suppress(ConfigError):  # a folder that is gone: nothing better to be had
            self._surroundings.restore()
        with contextlib.suppress(ConfigError):
            self._surroundings.apply(self.config)


def _disown_processes() -> None:
    """What a preloaded application has started by multiprocessing are the master's children. At the
    end of a worker that module would end them, since nothing tells it of the fork."""
    children = getattr(sys.modules.get("multiprocessing.process"), "_children", None)
    if isinstance(children, set):
        children.clear()


def _start_spew() -> Spew:
    from cgunicorn.spew import Spew

    return Spew()
