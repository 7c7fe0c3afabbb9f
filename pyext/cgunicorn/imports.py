# SPDX-License-Identifier: MIT
"""Importing a module that the user named, with "there is no such module" told apart from the
exceptions that the module's own code raises."""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class NoSuchModuleError(Exception):
    """The name is no module's. The text is a sentence without its full stop."""


def import_module(name: str) -> ModuleType:
    """NoSuchModuleError, or whatever the module's code raises."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise NoSuchModuleError(f"{name!r} is not the name of a module, as in package.module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        explain(error)
        # The module itself or a package that it is in, not one that it imports.
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise NoSuchModuleError(str(error)) from None
        raise


def import_file(path: str) -> ModuleType:
    """Runs a file, whatever its ending, as a module with the name that uWSGI gives it.
    NoSuchModuleError, or whatever its code raises."""
    if not Path(path).is_file():
        raise NoSuchModuleError(f"There is no file {path!r}")
    name = "uwsgi_file_" + re.sub(r"[/.]", "_", path)
    loader = importlib.machinery.SourceFileLoader(name, str(Path(path).absolute()))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec  # noqa: S101 - a loader was given
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except ModuleNotFoundError as error:
        explain(error)
        raise
    return module


def explain(error: BaseException) -> None:
    """Code written for Gunicorn, where that is not installed, is told what there is instead."""
    if isinstance(error, ModuleNotFoundError) and f"{error.name}.".startswith("gunicorn."):
        error.msg = (
            f"{error.msg}; the classes of gunicorn.app.base, gunicorn.app.wsgiapp and"
            " gunicorn.glogging are in cgunicorn.app.base, cgunicorn.app.wsgiapp and"
            " cgunicorn.glogging"
        )


def entry_point(distribution: str, group: str, name: str) -> Any:
    """What an installed distribution offers by a name. LookupError with a sentence without its full
    stop, or what is raised by the code that is imported for it."""
    from importlib import metadata

    try:
        offered = metadata.distribution(distribution).entry_points
    except (metadata.PackageNotFoundError, ValueError):
        raise LookupError(f"no distribution {distribution!r} is installed") from None
    found = next((e for e in offered if (e.group, e.name) == (group, name)), None)
    if found is None:
        raise LookupError(f"{distribution} has no entry point {name!r} in {group}")
    try:
        return found.load()
    except AttributeError as error:
        raise LookupError(str(error)) from None
