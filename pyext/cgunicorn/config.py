# SPDX-License-Identifier: MIT
"""From what the user said to one immutable Config.

Weakest first: the defaults (some with an environment variable: PORT, WEB_CONCURRENCY,
FORWARDED_ALLOW_IPS, SENDFILE), the config file, CGUNICORN_CMD_ARGS or else GUNICORN_CMD_ARGS, the
command line. Only one config file and only one of the two variables is read. Every value of every
layer is validated, also one that a stronger layer overrides. Nothing is kept here: a reload starts
from the same Invocation.
"""

from __future__ import annotations

import difflib
import os
import reprlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from cgunicorn import _cgunicorn
from cgunicorn.errors import ConfigError, user_traceback
from cgunicorn.gunicorn_names import NAMES, SAFETY_NAMES
from cgunicorn.imports import NoSuchModuleError, import_module
from cgunicorn.settings import SETTINGS

DEFAULT_FILES = ("cgunicorn.conf.py", "gunicorn.conf.py")

#: Seconds; why so many is said where the setting is declared.
ASYNC_KEEPALIVE = 75

#: How alike an unknown name must be to a setting's for a warning, from 0 to 1.
_LIKENESS = 0.85

#: Shows values in messages; cut, since a config file may set anything.
_VALUE = reprlib.Repr()
_VALUE.maxstring = _VALUE.maxother = 200


@dataclass(frozen=True)
class Layer:
    """Values by the name of their setting, not yet validated, and where they come from."""

    source: str
    values: Mapping[str, object]


@dataclass(frozen=True)
class Invocation:
    """How the server was started; does not change while it runs. `directory` is the folder it was
    started in, `arguments` are the layers of CMD_ARGS and of the command line."""

    app_spec: str | None
    arguments: tuple[Layer, ...]
    environ: Mapping[str, str]
    directory: str


class Config:
    """All settings as attributes (`cfg.workers`), immutable. `app_spec` says where the application
    is, `warnings` are sentences for the user."""

    app_spec: str
    warnings: tuple[str, ...]

    def __init__(
        self,
        values: Mapping[str, Any],
        sources: Mapping[str, str],
        app_spec: str,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.__dict__.update(values)
        self.__dict__.update(app_spec=app_spec, warnings=warnings, _sources=dict(sources))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"No configuration setting for: {name}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"The configuration is immutable: {name}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"The configuration is immutable: {name}")

    def source(self, name: str) -> str:
        """Where the value of a setting comes from."""
        return str(self.__dict__["_sources"][name])

    def for_c(self) -> dict[str, object]:
        """What _cgunicorn.run() takes. An int that is not set is 0 there, which means off."""
        values: dict[str, object] = {}
        for name, c_type in _cgunicorn.setting_fields:
            value = _plain(getattr(self, name))
            if isinstance(value, dict):
                value = [f"{k}:{v}" for k, v in value.items()]
            values[name] = 0 if value is None and c_type == "int" else value
        return values

    def __str__(self) -> str:
        """The lines of --print-config."""
        width = max(map(len, SETTINGS))
        return "\n".join(f"{n:{width}} = {_plain(getattr(self, n))}" for n in sorted(SETTINGS))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def load(invocation: Invocation) -> Config:
    """Resolves the configuration and runs the config file for it. To be called in the folder that
    the server was started in. ConfigError."""
    location = _file_location(invocation)
    namespace = _read_file(location) if location else {}
    _check_safety(location or "", namespace)
    given = {n: v for n, v in namespace.items() if n in SETTINGS and n != "config"}
    layers = [
        *_default_layers(invocation),
        Layer(location or "", given),
        *invocation.arguments,
    ]
    values, sources = _fold(layers)
    _follow_worker_class(values)
    values["config"] = location
    values["chdir"] = os.path.normpath(Path(invocation.directory, values["chdir"]))
    app_spec = invocation.app_spec or values["wsgi_app"]
    if not app_spec:
        raise ConfigError("No application module specified.")
    return Config(values, sources, app_spec, tuple(_warnings(location or "", namespace)))


def _default_layers(invocation: Invocation) -> Iterator[Layer]:
    defaults = {name: row.default for name, row in SETTINGS.items()}
    yield Layer("the default", {**defaults, "chdir": invocation.directory})
    for name, row in SETTINGS.items():
        text = invocation.environ.get(row.env, "") if row.env else ""
        if text:
            yield Layer(f"the environment variable {row.env}", {name: row.from_env(text)})


def _fold(layers: list[Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """The strongest value of each setting and its source. None leaves what was there."""
    values: dict[str, Any] = dict.fromkeys(SETTINGS)
    sources = dict.fromkeys(SETTINGS, layers[0].source)
    for layer in layers:
        for name, value in layer.values.items():
            if value is None:
                continue
            try:
                values[name] = SETTINGS[name].accept(value)
            except ValueError as error:
                raise ConfigError(
                    f"Invalid value for {name}: {_shown(value)} (from {layer.source}): {error}"
                ) from None
            sources[name] = layer.source
    return values, sources


def _follow_worker_class(values: dict[str, Any]) -> None:
    """What was not said, but follows from the worker class or decides about it."""
    if values["worker_class"] == "sync" and values["threads"] > 1:
        values["worker_class"] = "gthread"
    if values["keepalive"] is None and values["worker_class"] != "sync":
        values["keepalive"] = ASYNC_KEEPALIVE


def _shown(value: object) -> str:
    """A value for a message. A list with one item is most often a flag given once."""
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return _VALUE.repr(value)


# The config file


def _file_location(invocation: Invocation) -> str | None:
    for layer in reversed(invocation.arguments):
        location = layer.values.get("config")
        if location:
            return str(location)
    return next((name for name in DEFAULT_FILES if Path(name).exists()), None)


def _read_file(location: str) -> Mapping[str, object]:
    """The global variables of a config file after it has run."""
    try:
        if location.startswith("python:"):
            return vars(import_module(location[len("python:") :]))
        return vars(_run_file(_path(location)))
    except ConfigError:
        raise
    except NoSuchModuleError as error:
        raise ConfigError(f"Failed to read config file: {error}.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise any
        sentence = f"Failed to read config file: {location}"
        raise ConfigError(sentence, user_traceback(error)) from None


def _path(location: str) -> str:
    return location[len("file:") :] if location.startswith("file:") else location


def _run_file(path: str) -> ModuleType:
    code = _compile(path)
    module = ModuleType("__config__")
    module.__file__ = path
    sys.modules[module.__name__] = module
    exec(code, vars(module))  # noqa: S102 - a config file is a program of the user
    return module


def _compile(path: str) -> CodeType:
    """From the file itself: Python's cache of compiled files goes by whole seconds and would hide
    a second edit from a reload."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path!r} doesn't exist.") from None
    except OSError as error:
        raise ConfigError(f"Failed to read config file: {path} ({error.strerror}).") from None
    return compile(data, path, "exec", dont_inherit=True)


def _is_missing(name: str, value: object, names: frozenset[str]) -> bool:
    """Whether one of these settings of Gunicorn is given a value that means anything."""
    return name in names and name not in SETTINGS and bool(value)


def _check_safety(location: str, namespace: Mapping[str, object]) -> None:
    for name, value in namespace.items():
        if _is_missing(name, value, SAFETY_NAMES):
            raise ConfigError(
                f"{location}: this version has no setting {name!r}, and serving without it would be"
                " less safe than asked for."
            )


def _warnings(location: str, namespace: Mapping[str, object]) -> Iterator[str]:
    """Settings of Gunicorn without effect here, and names that look like settings misspelt.
    Constants, modules and variables that stand beside the setting they resemble are taken to be
    meant."""
    if location and not location.startswith("python:") and not location.endswith(".py"):
        yield f"{location}: configuration file should have a valid Python extension."
    for name, value in namespace.items():
        if name in SETTINGS or name.startswith("_") or isinstance(value, ModuleType):
            continue
        if _is_missing(name, value, NAMES):
            yield f"{location}: this version has no setting {name!r}, which has no effect."
        if name in NAMES or name != name.lower():
            continue
        candidates = [n for n in SETTINGS if n not in namespace]
        close = difflib.get_close_matches(name, candidates, n=1, cutoff=_LIKENESS)
        if close:
            yield f"{location}: unknown setting {name!r}, did you mean {close[0]!r}?"
