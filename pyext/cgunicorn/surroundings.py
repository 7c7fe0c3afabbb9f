# SPDX-License-Identifier: MIT
"""What a configuration changes in this process beside its own values: the working folder, sys.path
and the environment. All of it can be taken back, which a reload does first."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cgunicorn.config import Config
from cgunicorn.errors import ConfigError


class Surroundings:
    """Of the one process; `directory` is the folder it was started in."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._environ: dict[str, str | None] = {}  # what our variables were before
        self._paths: list[str] = []  # what is in sys.path because of us

    def restore(self) -> None:
        """As it was at the start, in the folder of the start, with that folder importable.
        ConfigError when the folder is gone. Where this user may not enter it (root's, after
        `sudo -u`), nothing can be read relative to it either: the top folder takes its place."""
        for name, value in self._environ.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environ.clear()
        for path in self._paths:
            if path in sys.path:
                sys.path.remove(path)
        self._paths.clear()
        try:
            self._enter(self._directory)
        except PermissionError:
            os.chdir("/")
        except OSError as error:
            raise _cannot_enter(self._directory, error) from None

    def apply(self, config: Config) -> None:
        """As the configuration wants it, starting from what restore() leaves. ConfigError."""
        for item in config.raw_env:
            name, _, value = item.partition("=")
            self._environ.setdefault(name, os.environ.get(name))
            os.environ[name] = value
        try:
            self._enter(config.chdir)
        except OSError as error:
            raise _cannot_enter(config.chdir, error) from None
        for folder in (config.pythonpath or "").split(","):
            if folder:
                self._add_path(str(Path(folder).absolute()))

    def _enter(self, folder: str) -> None:
        os.chdir(folder)
        self._add_path(folder)

    def _add_path(self, path: str) -> None:
        if path not in sys.path:
            sys.path.insert(0, path)
            self._paths.append(path)


def _cannot_enter(folder: str, error: OSError) -> ConfigError:
    return ConfigError(f"can't chdir to {folder!r}: {error.strerror}.")
