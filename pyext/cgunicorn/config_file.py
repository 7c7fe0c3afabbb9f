# SPDX-License-Identifier: MIT
"""Running the config file, and finding the line of a setting in it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from cgunicorn.errors import ConfigError, user_traceback
from cgunicorn.imports import NoSuchModuleError, explain, import_module

if TYPE_CHECKING:
    import ast

DEFAULT_FILES = ("cgunicorn.conf.py", "gunicorn.conf.py")

_MODULE = "python:"
_FILE = "file:"


def default_file() -> str | None:
    """The first of the default names that the working folder has."""
    return next((name for name in DEFAULT_FILES if Path(name).exists()), None)


def read_file(location: str, folders: Sequence[str]) -> Mapping[str, object]:
    """The global variables of a config file after it has run. `folders` are where a module is
    looked for before sys.path. ConfigError."""
    try:
        if location.startswith(_MODULE):
            with _searching(folders):
                return vars(import_module(location[len(_MODULE) :]))
        return vars(_run(_path(location)))
    except ConfigError:
        raise
    except NoSuchModuleError as error:
        raise ConfigError(f"Failed to read config file: {error}.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise any
        explain(error)
        sentence = f"Failed to read config file: {location}"
        raise ConfigError(sentence, user_traceback(error)) from None


@contextlib.contextmanager
def _searching(folders: Sequence[str]) -> Iterator[None]:
    sys.path[:0] = folders
    try:
        yield
    finally:
        for folder in folders:
            sys.path.remove(folder)


def has_python_extension(location: str) -> bool:
    return location.startswith(_MODULE) or location.endswith(".py")


def place(location: str, namespace: Mapping[str, object], name: str) -> str:
    """Where in the file a variable gets its value, as FILE:LINE; the file alone when that can't be
    seen from its text."""
    if location.startswith(_MODULE):
        location = str(namespace.get("__file__") or location)
    line = _find_line(_path(location), name)
    return f"{location}:{line}" if line else location


def _find_line(path: str, name: str) -> int:
    """The last line outside of functions that gives the name a value; 0: none is found."""
    import ast

    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return 0
    return max((line for line, bound in _bindings(tree) if bound == name), default=0)


def _bindings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The lines and names that a module binds, but not what its functions and classes do."""
    import ast

    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child.lineno, child.name
            continue
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.lineno, child.id
        elif isinstance(child, (ast.Import, ast.ImportFrom)):
            yield from ((child.lineno, alias.asname or alias.name) for alias in child.names)
        yield from _bindings(child)


def _path(location: str) -> str:
    return location[len(_FILE) :] if location.startswith(_FILE) else location


def _run(path: str) -> ModuleType:
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
    try:
        return compile(data, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise ConfigError(f"Failed to read config file: {path}{line}: {error.msg}.") from None
    except ValueError as error:  # NUL bytes, for some versions of Python
        raise ConfigError(f"Failed to read config file: {path}: {error}.") from None
