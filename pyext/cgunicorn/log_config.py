# SPDX-License-Identifier: MIT
"""What the settings logconfig, logconfig_json and logconfig_dict make of Python's loggers. Whatever
they say wrong is a ConfigError of one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cgunicorn.config import Config

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
        _apply_dict(cfg, "logconfig_dict", cfg.logconfig_dict)
    elif cfg.logconfig_json:
        _apply_dict(cfg, "logconfig_json", _read_json(cfg))
    elif cfg.logconfig:
        _apply_file(cfg)


def _read_json(cfg: Config) -> Any:
    import json

    try:
        return json.loads(Path(cfg.logconfig_json).read_bytes())
    except OSError as error:
        cfg.refuse("logconfig_json", f"it can't be read: {error.strerror}.")
    except ValueError as error:
        cfg.refuse("logconfig_json", f"it is not JSON: {error}.")


def _apply_dict(cfg: Config, name: str, config: Any) -> None:
    from logging.config import dictConfig

    try:
        dictConfig({**CONFIG_DEFAULTS, **config})
    except (AttributeError, ImportError, OSError, TypeError, ValueError) as error:
        cfg.refuse(name, f"it can't be used: {_told(error)}.")


def _apply_file(cfg: Config) -> None:
    import configparser
    from logging.config import fileConfig

    path = cfg.logconfig
    try:
        Path(path).open("rb").close()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        cfg.refuse("logconfig", f"log config '{path}' not found.")
    except OSError as error:
        cfg.refuse("logconfig", f"it can't be read: {error.strerror}.")
    defaults = {"__file__": path, "here": str(Path(path).parent)}
    try:
        fileConfig(path, defaults, disable_existing_loggers=False)
    except KeyError as error:
        cfg.refuse("logconfig", f"it can't be used: {error} is missing.")
    except (
        *(AttributeError, ImportError, NameError, OSError, RuntimeError, TypeError, ValueError),
        *(SyntaxError, configparser.Error),
    ) as error:
        cfg.refuse("logconfig", f"it can't be used: {_told(error)}.")


def _told(error: BaseException) -> str:
    """An exception and what it was raised from, which says more with dictConfig, in one line."""
    texts = [str(error)]
    if error.__cause__:
        texts.append(str(error.__cause__))
    return " ".join(": ".join(texts).split()).rstrip(".")
