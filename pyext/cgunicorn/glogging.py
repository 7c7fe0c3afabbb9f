# SPDX-License-Identifier: MIT
"""The Python side of logging, with the interface of gunicorn.glogging: subclasses of Gunicorn's
Logger need only another import.

The server's own lines are written in C and do not come through here, unless something is wanted
that only Python can do: log_relay.py. The loggers `gunicorn.error` and `gunicorn.access` are there
for hooks and applications, and write the same lines to the same files.
"""

from __future__ import annotations

import base64
import binascii
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, TextIO

from cgunicorn import _cgunicorn
from cgunicorn.config import Config
from cgunicorn.errors import ConfigError
from cgunicorn.imports import NoSuchModuleError, entry_point, import_module
from cgunicorn.log_config import CONFIG_DEFAULTS as CONFIG_DEFAULTS  # users look for it here
from cgunicorn.log_config import configure_logging, configures_logging
from cgunicorn.syslog import logs_to_syslog, syslog_handler

#: The forms of the lines that the server writes itself.
ERROR_FORMAT = r"%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
DATE_FORMAT = r"[%Y-%m-%d %H:%M:%S %z]"
ACCESS_FORMAT = "%(message)s"

_SUSPECT = re.compile(r'["\\\x00-\x1f\x7f-\U0010ffff]')


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    if char in '"\\':
        return "\\" + char
    return "".join(f"\\x{byte:02x}" for byte in _bytes_of(char))


def _bytes_of(char: str) -> bytes:
    """What a str of WSGI stands for is its latin-1 bytes."""
    return char.encode("latin-1") if char <= "\xff" else char.encode("utf-8", "surrogatepass")


class SafeAtoms(dict):  # type: ignore[type-arg]
    """The values of an access line by their atoms; strings are escaped as in the lines made in C,
    so that no client can forge one. Names in braces count in any case; what is missing is "-"."""

    def __init__(self, atoms: Mapping[str, object]) -> None:
        super().__init__()
        for key, value in atoms.items():
            self[key] = _SUSPECT.sub(_escape, value) if isinstance(value, str) else value

    def __getitem__(self, key: str) -> Any:
        return self.get(key.lower() if key.startswith("{") else key, "-")


class SinkHandler(logging.Handler):
    """Writes into a log file that the server holds open (and opens anew), as it does itself."""

    def __init__(self, access: bool) -> None:
        super().__init__()
        self._access = access
        self.usual_form = (ACCESS_FORMAT, None) if access else (ERROR_FORMAT, DATE_FORMAT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            _cgunicorn.log_write(self._access, line.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - what every handler does with a record it can't show
            self.handleError(record)


class Logger:
    """What `logger_class` names by default, and the base for other classes: __init__(cfg), setup,
    the level methods, access, atoms, now, reopen_files, close_on_exec, access_log_enabled."""

    LOG_LEVELS: ClassVar[dict[str, int]] = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = ERROR_FORMAT
    datefmt = DATE_FORMAT
    access_fmt = ACCESS_FORMAT
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class: type[SafeAtoms] = SafeAtoms

    def __init__(self, cfg: Config) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Config) -> None:
        """Gives the two loggers their levels and handlers."""
        self.loglevel = self.LOG_LEVELS.get(cfg.loglevel.lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        error_format = logging.Formatter(self.error_fmt, self.datefmt)
        self._set_handler(self.error_log, cfg.errorlog, error_format)
        access_format = logging.Formatter(self.access_fmt)
        self._set_handler(self.access_log, cfg.accesslog, access_format, stream=sys.stdout)
        self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
        self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        configure_logging(cfg)

    # The level methods. With statsd they send what `extra` says as a metric, and count.

    def critical(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.critical(msg, *args, **kwargs)
        _count("critical")

    def error(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.error(msg, *args, **kwargs)
        _count("error")

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.warning(msg, *args, **kwargs)
        _count("warning")

    def info(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        self.error_log.exception(msg, *args, **kwargs)
        _count("exception")

    def log(self, lvl: int | str, msg: object, *args: object, **kwargs: Any) -> None:
        """extra={"metric": NAME, "value": VALUE, "mtype": "gauge", "counter", "histogram" or
        "timer"} is sent to statsd; without a message it is no line."""
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        is_metric = _send_metric(kwargs.get("extra") or {})
        if msg or not is_metric:
            self.error_log.log(lvl, msg, *args, **kwargs)

    # The access log.

    @property
    def access_log_enabled(self) -> bool:
        cfg = self.cfg
        return bool(cfg.accesslog or configures_logging(cfg) or logs_to_syslog(cfg, access=True))

    def access(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> None:
        """One line for a finished request."""
        if self.access_log_enabled:
            atoms = self.atoms(resp, req, environ, request_time)
            self.log_access(atoms, getattr(resp, "line", None))

    def log_access(self, atoms: Mapping[str, Any], line: str | None = None) -> None:
        """One line with these atoms; `line` is the whole of it when the format is no list of
        them."""
        if line is not None:
            self.access_log.info(line)
        else:
            self.access_log.info(self.cfg.access_log_format, self.atoms_wrapper_class(atoms))

    def atoms(
        self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta
    ) -> dict[str, Any]:
        """The values of the atoms, unescaped."""
        status = resp.status.split(None, 1)[0] if isinstance(resp.status, str) else resp.status
        sent = getattr(resp, "sent", None)
        took_us = request_time // timedelta(microseconds=1)
        method, uri, protocol = (
            environ.get(key, "") for key in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL")
        )
        atoms: dict[str, Any] = {
            "h": environ.get("REMOTE_ADDR") or "-",
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": f"{method} {uri} {protocol}",
            "s": status,
            "m": environ.get("REQUEST_METHOD"),
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": environ.get("SERVER_PROTOCOL"),
            "b": "-" if sent is None else str(sent),
            "B": sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": took_us // 1_000_000,
            "D": took_us,
            "M": took_us // 1000,
            "L": f"{took_us // 1_000_000}.{took_us % 1_000_000:06d}",
            "p": f"<{os.getpid()}>",
        }
        atoms.update((f"{{{k.lower()}}}i", v) for k, v in _items(getattr(req, "headers", req)))
        atoms.update((f"{{{k.lower()}}}o", v) for k, v in _items(resp.headers))
        atoms.update((f"{{{k.lower()}}}e", v) for k, v in environ.items())
        return atoms

    def now(self) -> str:
        """The time in the form of the atom t."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ: Mapping[str, Any]) -> str | None:
        """The user of Basic credentials (RFC 7617)."""
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(token.strip().encode("ascii"), validate=True)
        except (UnicodeError, binascii.Error):
            return None
        user, colon, _ = text.decode("latin-1").partition(":")
        return user if colon else None

    # Files.

    def reopen_files(self) -> None:
        """Opens the files of all handlers of this process anew, the application's too. Those that
        the server holds itself are reopened by it."""
        for handler in _file_handlers():
            _reopen(handler)

    def close_on_exec(self) -> None:
        """Nothing to do: Python's descriptors and the server's are not inherited."""

    # Handlers.

    def _get_gunicorn_handler(self, log: logging.Logger) -> logging.Handler | None:
        return next((h for h in log.handlers if getattr(h, "_gunicorn", False)), None)

    def _set_handler(
        self,
        log: logging.Logger,
        output: str | None,
        fmt: logging.Formatter,
        stream: TextIO | None = None,
    ) -> None:
        """Replaces the handler that an earlier call gave `log`; None: by nothing."""
        before = self._get_gunicorn_handler(log)
        if before:
            log.handlers.remove(before)
        if output is None:
            return
        handler = self._make_handler(log, output, stream)
        handler.setFormatter(fmt)
        handler._gunicorn = True  # type: ignore[attr-defined]
        log.addHandler(handler)

    def _set_syslog_handler(self, log: logging.Logger, cfg: Config, fmt: str, name: str) -> None:
        for handler in [h for h in log.handlers if getattr(h, "_gunicorn_syslog", False)]:
            log.removeHandler(handler)
            handler.close()
        if logs_to_syslog(cfg, access=log is self.access_log):
            handler = syslog_handler(cfg, fmt, name)
            handler._gunicorn_syslog = True  # type: ignore[attr-defined]
            log.addHandler(handler)

    def _make_handler(
        self, log: logging.Logger, output: str, stream: TextIO | None
    ) -> logging.Handler:
        if log is self.error_log and output == self.cfg.errorlog:
            return SinkHandler(access=False)
        if log is self.access_log and output == self.cfg.accesslog:
            return SinkHandler(access=True)
        if output == "-":
            return logging.StreamHandler(stream)
        Path(output).absolute().parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(output)


#: mtype -> how a metric of this type ends.
_METRIC_TYPES = {"gauge": "g", "counter": "c|@1.0", "histogram": "h", "timer": "ms"}


def _count(level: str) -> None:
    _cgunicorn.statsd_send(f"gunicorn.log.{level}:1|c|@1.0")


def _send_metric(extra: Mapping[str, Any]) -> bool:
    name, value = extra.get("metric"), extra.get("value")
    ending = _METRIC_TYPES.get(extra.get("mtype", ""))
    if not name or value is None or not ending:
        return False
    _cgunicorn.statsd_send(f"{name}:{value}|{ending}")
    return True


def _items(headers: Any) -> Iterable[tuple[str, Any]]:
    return headers.items() if hasattr(headers, "items") else headers


def _file_handlers() -> list[logging.FileHandler]:
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, root.manager.loggerDict)]
    handlers = {h: None for log in loggers for h in log.handlers}
    return [h for h in handlers if isinstance(h, logging.FileHandler)]


def _reopen(handler: logging.FileHandler) -> None:
    handler.acquire()
    try:
        if handler.stream:
            stream = handler._open()  # as Python's WatchedFileHandler does
            handler.stream.close()
            handler.stream = stream
    except OSError as error:
        logging.getLogger("gunicorn.error").error("Can't reopen a log: %s", error)
    finally:
        handler.release()


#: Names of classes whose work is done here or in C; the first is the setting's default.
_BUILT_IN = (
    "gunicorn.glogging.Logger",
    "cgunicorn.glogging.Logger",
    "gunicorn.instrument.statsd.Statsd",
    "simple",
)


#: The group of entry points that egg:DISTRIBUTION#NAME looks in.
_ENTRY_POINTS = "gunicorn.loggers"


def make_logger(config: Config) -> Any:
    """The logger of a process that serves, of the class that the settings name. ConfigError."""
    logger_class = config.logger_class
    try:
        return logger_class(config)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's class may raise any
        config.refuse("logger_class", f"it can't be used: {type(error).__name__}: {error}.")


def is_ordinary(config: Config) -> bool:
    """Whether make_logger() gives Python's logging nothing to do that could fail."""
    is_ours = config.value_of("logger_class") in _BUILT_IN
    return is_ours and not configures_logging(config) and not config.syslog


def find_class(config: Config) -> Any:
    """What the setting logger_class names. ConfigError."""
    setting = config.value_of("logger_class")
    if isinstance(setting, type):
        return setting
    if setting in _BUILT_IN:
        return Logger
    try:
        found = _import_class(setting)
    except LookupError as error:
        config.refuse("logger_class", f"it can't be found: {error.args[0]}.")
    except Exception as error:  # noqa: BLE001 - the user's code may raise any
        config.refuse("logger_class", f"it can't be imported: {type(error).__name__}: {error}.")
    if not callable(found):
        config.refuse("logger_class", "it is no class.")
    return found


def _import_class(name: str) -> Any:
    """LookupError when nothing has this name, or what the code raises that is imported."""
    if name.startswith("egg:"):
        distribution, _, entry = name[len("egg:") :].partition("#")
        return entry_point(distribution, _ENTRY_POINTS, entry)
    module_name, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module_name), attribute)
    except NoSuchModuleError as error:
        raise LookupError(str(error)) from None
    except AttributeError:
        raise LookupError(f"no {attribute} in {module_name}") from None
