# SPDX-License-Identifier: MIT
"""The setting reload: a worker leaves when a file of the program has changed, and the arbiter puts
another in its place, which loads the new code. Each worker watches for itself, in a thread that
sleeps until something happens. An application that cannot be loaded is one that says why."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cgunicorn import _cgunicorn
from cgunicorn.errors import AppLoadError, user_traceback
from cgunicorn.watched_files import WatchedFiles

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from cgunicorn.config import Config
    from cgunicorn.hooks import Hooks
    from cgunicorn.inotify import Inotify

#: How often files are looked at, and with inotify for how long a module that is imported late
#: may go unnoticed.
_TURN_S = 1.0

#: Nothing may have changed for so long before a worker leaves, but that no more than so many times:
#: editors write in several steps, and a checkout changes many files.
_SETTLE_S = 0.1
_SETTLES_MAX = 20


class Reloader(threading.Thread):
    """Of a worker: made before the application is loaded, started after."""

    def __init__(self, config: Config, hooks: Hooks) -> None:
        super().__init__(name="cgunicorn-reloader", daemon=True)
        self._hooks = hooks
        self._engine = config.reload_engine
        self._files = WatchedFiles(config.reload_extra_files)
        _cgunicorn.log(logging.WARNING, "Reloader is on. Use in development only!")

    def add_extra_file(self, path: str) -> None:
        """For the application, which may know more files that it depends on."""
        self._files.add(path)

    def explain(self, error: BaseException) -> WSGIApplication:
        """An application in place of one that could not be loaded."""
        for path in _blamed(error):
            self._files.add(path)
        text = str(error) if isinstance(error, AppLoadError) else user_traceback(error)
        _cgunicorn.log(logging.ERROR, f"Error while loading the application.\n{text}".rstrip())
        return _page(text)

    def run(self) -> None:
        inotify = self._open_inotify()
        path = self._files.changed()
        while not path:
            inotify = self._wait(inotify)
            path = self._files.changed()
        self._settle()
        _forget_bytecode(path)
        _cgunicorn.log(logging.INFO, f"Worker reloading: {path} modified")
        self._hooks.worker_int()
        self._hooks.worker.alive = False

    def _open_inotify(self) -> Inotify | None:
        if self._engine == "poll" or (self._engine == "auto" and sys.platform != "linux"):
            return None
        try:
            from cgunicorn.inotify import Inotify

            return Inotify()
        except (AttributeError, ImportError, OSError) as error:
            _say_polling(error)
            return None

    def _wait(self, inotify: Inotify | None) -> Inotify | None:
        """Until a file may have changed. Returns what to wait by from then on."""
        if not inotify:
            time.sleep(_TURN_S)
            return None
        try:
            # What happened in a new folder before it was watched takes another look to be seen.
            if inotify.watch(self._files.folders()):
                return inotify
            while not inotify.wait(_TURN_S, self._files.may_be):
                if self._files.modules_grew():
                    break
        except OSError as error:
            inotify.close()
            _say_polling(error)
            return None
        return inotify

    def _settle(self) -> None:
        for _ in range(_SETTLES_MAX):
            time.sleep(_SETTLE_S)
            if not self._files.changed():
                return


def _forget_bytecode(path: Path) -> None:
    """Python's cache goes by size and whole seconds, and would hide an edit soon after another."""
    with contextlib.suppress(NotImplementedError, OSError):
        Path(importlib.util.cache_from_source(str(path))).unlink()


def _say_polling(why: Exception) -> None:
    sentence = (
        f"Reloader: inotify can't be used ({why}); files are looked at once a second instead."
    )
    _cgunicorn.log(logging.WARNING, sentence)


def _page(text: str) -> WSGIApplication:
    body = text.encode("utf-8", "backslashreplace")

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("500 Internal Server Error", fields)
        return [body]

    return app


def _blamed(error: BaseException) -> Iterator[str | Path]:
    """The files that may mend it: a module that raises while it is imported is not in sys.modules
    any more."""
    at: BaseException | None = error
    while at:
        yield from (frame.f_code.co_filename for frame, _ in traceback.walk_tb(at.__traceback__))
        if isinstance(at, SyntaxError) and at.filename:
            yield at.filename
        if isinstance(at, ModuleNotFoundError) and at.name:
            yield from _places_of(at.name)
        at = at.__cause__ or at.__context__


def _places_of(module: str) -> Iterator[Path]:
    """Where a module would be found that does not exist yet."""
    parts = module.split(".")
    for folder in sys.path:
        path = Path(folder, *parts)
        yield path.with_suffix(".py")
        yield path / "__init__.py"
