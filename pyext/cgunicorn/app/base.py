# SPDX-License-Identifier: MIT
"""The server run by a Python program, with the classes of gunicorn.app.base: a program needs only
another import. The rest of the package does not depend on this."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from cgunicorn import cli, config_file
from cgunicorn.app_loader import check_app
from cgunicorn.config import (
    NOTHING,
    ArgumentsLayer,
    Config,
    Invocation,
    Layer,
    Program,
)
from cgunicorn.config_view import ConfigView, accepted, own
from cgunicorn.errors import ConfigError
from cgunicorn.settings import SETTINGS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Settings(ConfigView):
    """What a program sets, as `self.cfg`. What it does not set reads as the default."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def set(self, name: str, value: object) -> None:
        self.given[name] = None if value is None and name in SETTINGS else accepted(name, value)

    def value_of(self, name: str) -> Any:
        if name not in self.given:
            return own(SETTINGS[name].default)
        return own(self.given[name])

    def __getattr__(self, name: str) -> Any:
        if name not in SETTINGS:
            raise AttributeError(f"No configuration setting for: {name}")
        return self.value_of(name)


class BaseApplication:
    """To be derived from: load_config() says the settings with self.cfg.set(), load() returns the
    application. Nothing but these settings, and variables of the environment, counts.

    self.cfg is the whole configuration when load() is called."""

    cfg: Any

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.callable: WSGIApplication | None = None
        self.logger = None
        self._is_fresh = False
        self.do_load_config()

    def do_load_config(self) -> None:
        """Ends the program, after one sentence, when that fails."""
        try:
            self._load_config_anew()
        except Exception as error:  # noqa: BLE001 - the program's own code may raise any
            details = getattr(error, "details", "")
            print(f"{details}\nError: {error}".lstrip("\n"), file=sys.stderr)
            sys.exit(1)

    def load_default_config(self) -> None:
        self.cfg = Settings()

    def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> Any:
        raise NotImplementedError

    def load_config(self) -> None:
        raise NotImplementedError

    def load(self) -> Any:
        raise NotImplementedError

    def reload(self) -> None:
        self.do_load_config()

    def wsgi(self) -> WSGIApplication:
        if self.callable is None:
            self.callable = check_app(self.load(), type(self).__name__)
        return self.callable

    def run(self) -> NoReturn:
        """Serves; ends the process, in the master and in each worker."""
        sys.exit(cli.run(self._invoke))

    # What the server asks for.

    def _load_config_anew(self) -> None:
        self.load_default_config()
        self.load_config()
        self._is_fresh = True

    def _layers(self) -> tuple[Layer, Layer]:
        """At the start what the constructor has found; a reload looks again."""
        if not self._is_fresh:
            try:
                self._load_config_anew()
            except ConfigError:
                raise
            except Exception as error:  # noqa: BLE001 - the program's own code may raise any
                raise ConfigError(f"{error}") from None
        self._is_fresh = False
        return self._weak_layer(), Layer(type(self).__name__, self.cfg.given)

    def _weak_layer(self) -> Layer:
        return NOTHING

    def _load(self, config: Config) -> WSGIApplication:
        self.cfg = config
        return self.wsgi()

    def _invoke(self) -> Invocation:
        environ = dict(os.environ)
        program = Program(type(self).__name__, self._layers, self._load, is_alone=True)
        no_arguments = (ArgumentsLayer("the command line", {}),)
        return Invocation(
            None, no_arguments, environ, cli.start_directory(environ), program=program
        )


class Application(BaseApplication):
    """The same with command line and config file. init() may return a dict of settings that are
    weaker than those; what self.cfg.set() says is stronger."""

    _invocation: Invocation | None = None
    _weak: Mapping[str, object] = MappingProxyType({})

    def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> Any:
        return None

    def load_config(self) -> None:
        parser = cli.build_parser()
        given = vars(parser.parse_args())
        words = [given["app"]] if given["app"] else []
        opts = Namespace(**{**dict.fromkeys(SETTINGS), **given, "args": words})
        self._weak = self.init(parser, opts, words) or {}
        self._invocation = cli.invocation(sys.argv[1:])

    def load_config_from_module_name_or_filename(self, location: str) -> dict[str, object]:
        """Sets what a config file says, for programs with a load_config() of their own: the file's
        path, file:PATH or python:MODULE. Returns its variables. ConfigError."""
        variables = config_file.read_file(location, [])
        for name, value in variables.items():
            if name in SETTINGS:
                self.cfg.set(name, value)
        return variables

    def load_config_from_file(self, filename: str) -> dict[str, object]:
        return self.load_config_from_module_name_or_filename(filename)

    def chdir(self) -> None:
        """Enters the folder of the setting, and makes it importable."""
        folder = str(Path(self.cfg.chdir or "").absolute())
        os.chdir(folder)
        if folder not in sys.path:
            sys.path.insert(0, folder)

    def _weak_layer(self) -> Layer:
        return Layer(type(self).__name__, self._weak)

    def _invoke(self) -> Invocation:
        alone = super()._invoke()
        if not self._invocation or not alone.program:
            return alone
        program = alone.program._replace(is_alone=False)
        return self._invocation._replace(program=program)
