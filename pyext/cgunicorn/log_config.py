# SPDX-License-Identifier: MIT
"""What the settings logconfig, logconfig_json, logconfig_dict and syslog make of Python's loggers.
Whatever they say wrong is a ConfigError of one sentence."""

from __future__ import annotations

import gc
import logging
import socket
from pathlib import Path
from typing import Any

from cgunicorn.config import Config
from cgunicorn.errors import ConfigError

#: What logconfig_dict and logconfig_json are merged over, key by key. Unlike Gunicorn's, its
#: loggers do not pass lines on to the root logger: they would be printed twice.
CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": False,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": False,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stdout",
        },
        "error_console": {
            "class": "logging.StreamHandler",
            "formatter": "generic",
            "stream": "ext://sys.stderr",
        },
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        },
    },
}


def configures_logging(cfg: Config) -> bool:
    return bool(cfg.logconfig or cfg.logconfig_json or cfg.logconfig_dict)


def configure_logging(cfg: Config) -> None:
    """Applies the strongest of the three settings. ConfigError."""
    if cfg.logconfig_dict:
        _apply_dict("logconfig_dict", cfg.logconfig_dict)
    elif cfg.logconfig_json:
        _apply_dict(f"logconfig_json {cfg.logconfig_json!r}", _read_json(cfg.logconfig_json))
    elif cfg.logconfig:
        _apply_file(cfg.logconfig)


def _read_json(path: str) -> Any:
    import json

    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"Can't read logconfig_json {path!r}: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"logconfig_json {path!r} is not JSON: {error}.") from None


def _apply_dict(source: str, config: Any) -> None:
    from logging.config import dictConfig

    try:
        dictConfig({**CONFIG_DEFAULTS, **config})
    except (AttributeError, ImportError, OSError, TypeError, ValueError) as error:
        raise ConfigError(f"{source} can't be used: {_told(error)}.") from None


def _apply_file(path: str) -> None:
    import configparser
    from logging.config import fileConfig

    if not Path(path).is_file():
        raise ConfigError(f"log config '{path}' not found")
    defaults = {"__file__": path, "here": str(Path(path).parent)}
    try:
        fileConfig(path, defaults, disable_existing_loggers=False)
    except KeyError as error:
        raise ConfigError(f"logconfig {path!r} can't be used: {error} is missing.") from None
    except (
        *(AttributeError, ImportError, NameError, OSError, RuntimeError, TypeError, ValueError),
        *(SyntaxError, configparser.Error),
    ) as error:
        raise ConfigError(f"logconfig {path!r} can't be used: {_told(error)}.") from None


def _told(error: BaseException) -> str:
    """An exception and what it was raised from, which says more with dictConfig, in one line."""
    texts = [str(error)]
    if error.__cause__:
        texts.append(str(error.__cause__))
    return " ".join(": ".join(texts).split()).rstrip(".")


def logs_to_syslog(cfg: Config, access: bool) -> bool:
    return bool(cfg.syslog and not (access and cfg.disable_redirect_access_to_syslog))


def syslog_handler(cfg: Config, fmt: str, name: str) -> logging.Handler:
    """Lines begin with gunicorn.PREFIX.NAME, the prefix being proc_name by default. ConfigError."""
    prefix = f"gunicorn.{cfg.syslog_prefix or (cfg.proc_name or '').replace(':', '.')}.{name}"
    from logging.handlers import SysLogHandler

    kind, address = _syslog_address(cfg.syslog_addr)
    facility = SysLogHandler.facility_names[cfg.syslog_facility]
    failure = ""
    try:
        handler = SysLogHandler(address=address, facility=facility, socktype=kind)
        # Python thinks that a unix socket will be there later, and prints a traceback for each line
        # until then.
        if isinstance(address, str) and handler.socket.fileno() < 0:
            failure = "nobody listens there"
    except OSError as error:
        failure = error.strerror or str(error)
    if failure:
        gc.collect()  # a handler that has no socket: Python 3.9 would stumble over it at exit
        raise ConfigError(f"Can't log to syslog at {cfg.syslog_addr!r}: {failure}.")
    handler.setFormatter(logging.Formatter(f"{prefix}: {fmt}"))
    return handler


def _syslog_address(text: str) -> tuple[Any, str | tuple[str, int]]:
    """unix://PATH#dgram, unix://PATH#stream, udp://HOST:PORT or tcp://HOST:PORT. ConfigError."""
    scheme, _, rest = text.partition("://")
    if scheme == "unix":
        path, _, word = rest.partition("#")
        kinds = {"": None, "dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        if word not in kinds:
            raise ConfigError(f"syslog_addr {text!r} ends neither in #dgram nor in #stream.")
        return kinds[word], path
    host, colon, port = rest.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = rest, "514"
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"syslog_addr {text!r} has no valid port number: {port!r}.")
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    return kind, (host.strip("[]").lower() or "localhost", int(port))
