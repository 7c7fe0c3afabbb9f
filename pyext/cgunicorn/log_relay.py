# SPDX-License-Identifier: MIT
"""The server's own lines on their way to Python's loggers.

C writes the logs as long as Python would do nothing else with their lines. When a logger has
another handler, a filter or a format of the user's, or the logger class is the user's, C passes the
lines on to here (pyext/log_relay.h)."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from cgunicorn import _cgunicorn
from cgunicorn.config import Config
from cgunicorn.glogging import Logger, SinkHandler

_LEVEL_METHODS = ("critical", "error", "warning", "info", "debug")
_ACCESS_PARTS = ("access", "atoms", "now", "_get_user", "access_log_enabled")

#: Longer than a handler takes that works, in seconds.
_FORK_WAIT_S = 1.0

#: Atoms that records have in any case.
_ABSENT = dict.fromkeys(("h", "l", "u", "f", "a"), "-")

#: Names of the environ that are no fields of the request.
_PLAIN_KEYS = {
    "{request_method}e": "REQUEST_METHOD",
    "{raw_uri}e": "RAW_URI",
    "{path_info}e": "PATH_INFO",
    "{query_string}e": "QUERY_STRING",
    "{server_protocol}e": "SERVER_PROTOCOL",
    "{remote_addr}e": "REMOTE_ADDR",
}


class _Turn:
    """Held by whoever hands a line on. An application that forks waits for it: of a handler's file
    the child would find the lock taken, by a thread that it does not have."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._forks = threading.local()
        os.register_at_fork(
            before=self._begin_fork,
            after_in_parent=self._end_fork,
            after_in_child=self._begin_child,
        )

    def _begin_fork(self) -> None:
        self._forks.waited = self.lock.acquire(timeout=_FORK_WAIT_S)

    def _end_fork(self) -> None:
        if self._forks.waited:
            self.lock.release()

    def _begin_child(self) -> None:
        if self._forks.waited:
            self.lock.release()
        else:
            self.lock = threading.RLock()


_turn = _Turn()


class LoggedResponse:
    """What a logger's access() is told about the server's own answer to a request that the
    application was not called for, or did not come back from."""

    def __init__(self, atoms: Mapping[str, Any], line: str | None) -> None:
        self.status = atoms["s"]
        self.status_code = int(atoms["s"])
        self.sent = self.response_length = atoms["B"]
        self.headers = _fields(atoms, "o")
        self.line = line


class LoggedRequest:
    """What a logger's access() is told about such a request."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        self.method = atoms.get("m", "")
        self.uri = atoms.get("{raw_uri}e", "")
        self.path = self.uri.partition("?")[0]
        self.query = atoms.get("q", "")
        major, _, minor = atoms["H"].partition("/")[2].partition(".")
        self.version = (int(major), int(minor))
        self.headers = [(name.upper(), value) for name, value in _fields(atoms, "i")]


#: What access() gets first.
Exchange = tuple[Any, Any, dict[str, Any]]


def _fields(atoms: Mapping[str, Any], kind: str) -> list[tuple[str, str]]:
    return [(key[1:-2], value) for key, value in atoms.items() if key.endswith("}" + kind)]


def _environ(atoms: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an environ that follows from the request."""
    plain = {name: atoms.get(atom, "") for atom, name in _PLAIN_KEYS.items()}
    return {**plain, **dict(_variables(atoms))}


def _variables(atoms: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Those of the environ that are fields of the request."""
    for name, value in _fields(atoms, "i"):
        key = name.upper().replace("-", "_")
        yield key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}", value


class Relay:
    """Between C and one logger."""

    def __init__(self, logger: Logger, config: Config) -> None:
        self._logger = logger
        self._level = Logger.LOG_LEVELS[config.loglevel]
        self._own_levels = _is_ours(logger, _LEVEL_METHODS)
        self._own_access = _is_ours(logger, _ACCESS_PARTS)

    def divert(self) -> None:
        """Passes the lines of those logs on that C can't write by itself, from now on. To be called
        again when loggers may have changed."""
        logger = self._logger
        errors = not (self._own_levels and is_plain(logger.error_log))
        plain_access = self._own_access and is_plain(logger.access_log)
        access = getattr(logger, "access_log_enabled", True) and not plain_access
        level = logger.error_log.getEffectiveLevel() if self._own_levels else self._level
        exchanges = not self._own_access
        _cgunicorn.log_divert(errors, bool(access), level, self._emit, exchanges)

    def start_thread(self) -> None:
        """Lines are handed on by a thread that does nothing else: for workers whose loop must not
        wait for Python."""
        threading.Thread(target=_cgunicorn.log_pump, name="cgunicorn-log", daemon=True).start()

    def _emit(self, kind: str, level: int, text: bytes, exchange: Exchange | None) -> None:
        with _turn.lock:
            self._hand_on(kind, level, text, exchange)

    def _hand_on(self, kind: str, level: int, text: bytes, exchange: Exchange | None) -> None:
        if kind == "access":
            import json

            self._access(json.loads(text), exchange)
        elif kind == "reopen":
            self._logger.reopen_files()
        else:
            message = text.decode("utf-8", "backslashreplace").rstrip("\n")
            self._error(level, message)

    def _error(self, level: int, message: str) -> None:
        """Past our own methods, which would count for statsd what C has counted."""
        if self._own_levels:
            self._logger.error_log.log(level, message)
        else:
            getattr(self._logger, logging.getLevelName(level).lower())(message)

    def _access(self, atoms: dict[str, Any], exchange: Exchange | None) -> None:
        line = atoms.pop("line", None)
        atoms.update(s=str(atoms["s"]), b=str(atoms["b"]))
        if self._own_access:
            received = {f"{{{name.lower()}}}e": value for name, value in _variables(atoms)}
            self._logger.log_access({**_ABSENT, **received, **atoms}, line)
            return
        # Without a queue time the line is none of the application's, whatever was parked.
        called = exchange if "{queue_time}x" in atoms else None
        resp, req, environ = _told(called, atoms, line) if called else _retold(atoms, line)
        self._logger.access(resp, req, environ, timedelta(microseconds=atoms["D"]))


def _told(exchange: Exchange, atoms: Mapping[str, Any], line: str | None) -> Exchange:
    """What access() gets of a call of the application. The status is the log's where that is
    another one: of the client who left, the server says 499."""
    resp = exchange[0]
    resp.line = line
    if resp.status_code != int(atoms["s"]):
        resp.status, resp.status_code = atoms["s"], int(atoms["s"])
    return exchange


def _retold(atoms: Mapping[str, Any], line: str | None) -> Exchange:
    """The same where there is no more than the record of the line."""
    return LoggedResponse(atoms, line), LoggedRequest(atoms), _environ(atoms)


def _is_ours(logger: Logger, names: tuple[str, ...]) -> bool:
    """Whether none of these is the user's own."""
    return all(getattr(type(logger), n, None) is getattr(Logger, n) for n in names)


def is_plain(log: logging.Logger) -> bool:
    """Whether a line given to `log` does nothing but go to the server's file in the usual form."""
    if log.filters or log.propagate or log.disabled:
        return False
    return all(_is_plain_handler(handler) for handler in log.handlers)


def _is_plain_handler(handler: logging.Handler) -> bool:
    form = handler.formatter
    return (
        type(handler) is SinkHandler
        and not handler.filters
        and handler.level == logging.NOTSET
        and type(form) is logging.Formatter
        and (form._fmt, form.datefmt) == handler.usual_form
    )
