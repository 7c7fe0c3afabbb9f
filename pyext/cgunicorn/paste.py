# SPDX-License-Identifier: MIT
"""Files of PasteDeploy, such as Pyramid's: the application in one, and what its section
[server:main] says to this server. Needs the package PasteDeploy."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgunicorn.config import Layer
from cgunicorn.errors import AppLoadError, ConfigError, shown
from cgunicorn.settings import SETTINGS
from cgunicorn.settings.kinds import LIST

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_SECTION = "server:main"

#: A `use` that means this server; for another one the section says nothing to us.
_OURS = re.compile(r"(egg|call):c?gunicorn\b")


def load_app(uri: str, variables: Iterable[str]) -> WSGIApplication:
    """The application of FILE or FILE#SECTION. AppLoadError, or what its own code raises."""
    from paste.deploy import loadapp

    try:
        app: WSGIApplication = loadapp(f"config:{uri}", global_conf=_pairs(variables))
    except Exception as error:
        if _is_of_the_file(error):
            raise AppLoadError(f"Can't load {uri!r}: {_one_line(error)}.") from None
        raise
    return app


def _is_of_the_file(error: Exception) -> bool:
    """Whether PasteDeploy raised it and not what it has called."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    module = frame.tb_frame.f_globals.get("__name__", "") if frame else ""
    return str(module).startswith(("paste.deploy", "importlib.metadata", "configparser"))


def server_layer(uri: str, variables: Iterable[str]) -> Layer:
    """The settings of the file's [server:main] and its logging. ConfigError when there is no such
    file or it cannot be read."""
    try:
        import paste.deploy  # noqa: F401
    except ImportError:
        raise ConfigError("paste needs the package PasteDeploy: pip install PasteDeploy.") from None
    path = Path(uri.partition("#")[0]).absolute()
    place = {"here": str(path.parent), "__file__": str(path)}
    parser = configparser.ConfigParser({**_pairs(variables), **place}, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
        raw = _raw(str(path))
        names = raw.options(_SECTION) if raw.has_section(_SECTION) else []
        section = {name: parser.get(_SECTION, name) for name in names}
    except OSError as error:
        raise ConfigError(f"Can't read {str(path)!r}: {error.strerror}.") from None
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"Can't read {str(path)!r}: {_one_line(error)}.") from None
    return layer_of(str(path), section if _OURS.match(section.pop("use", "")) else {})


def layer_of(path: str, section: Mapping[str, str | None]) -> Layer:
    """What a file says: the options of its section for the server, and its logging. ConfigError."""
    given = {name.lower(): text for name, text in section.items() if text is not None}
    host, port = given.pop("host", ""), given.pop("port", "")
    values: dict[str, object] = {"default_proc_name": path}
    if host:
        values["bind"] = [f"{host}:{port}"] if port else host.split(",")
    elif port:
        values["bind"] = [f":{port}"]
    if _raw(path).has_section("loggers"):
        values["logconfig"] = path
    values.update((name, _value(name, text, path)) for name, text in given.items())
    return Layer(f"{path}, [{_SECTION}]", values)


def _value(name: str, text: str, path: str) -> object:
    row = SETTINGS.get(name)
    if row is None:
        raise ConfigError(f"No configuration setting for: {name} (from {path}, [{_SECTION}]).")
    try:
        return text if row.kind is LIST else row.kind.from_text(text)
    except ValueError as error:
        raise ConfigError(
            f"Invalid value for {name}: {shown(text)} (from {path}, [{_SECTION}]): {error}"
        ) from None


def _raw(path: str) -> configparser.RawConfigParser:
    """As it is written: [DEFAULT] is a section like the others, not a part of them."""
    parser = configparser.RawConfigParser(strict=False, default_section="")
    parser.read(path, encoding="utf-8")
    return parser


def _pairs(variables: Iterable[str]) -> dict[str, str]:
    return dict(variable.split("=", 1) for variable in variables)


def _one_line(error: Any) -> str:
    return " ".join(str(error).split()).rstrip(".")
