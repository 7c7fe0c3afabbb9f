# SPDX-License-Identifier: MIT
"""From the text that names the application to the callable.

MODULE, MODULE:NAME, MODULE:OBJECT.NAME, MODULE:FACTORY(ARGUMENTS); the arguments are literals, the
name is `application` where none is given. For the module may stand file:PATH, as uWSGI's
`wsgi-file` does.
"""

from __future__ import annotations

import keyword
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from cgunicorn.errors import AppLoadError
from cgunicorn.hints import LIKELY, similar
from cgunicorn.imports import NoSuchModuleError, import_file, import_module

if TYPE_CHECKING:
    import ast

    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.config import Config

DEFAULT_NAME = "application"

#: What a function that makes the application is called by most.
_FACTORIES = ("create_app", "make_app", "create_application")

_FILE = "file:"

#: As in the module inspect, which takes long to import.
_CO_VARARGS = 0x04
_CO_COROUTINE = 0x80


class Target(NamedTuple):
    """What stands behind the colon, parsed: the attributes to follow, and how to call the last."""

    names: tuple[str, ...]
    is_call: bool = False
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})


def load_configured(config: Config) -> WSGIApplication:
    """The application that a configuration names: as load_app(), or from a PasteDeploy file."""
    if not config.paste:
        return load_app(config.app_spec)
    from cgunicorn import paste

    return check_app(paste.load_app(config.paste, config.raw_paste_global_conf), config.paste)


def load_app(spec: str) -> WSGIApplication:
    """Imports the module and finds or makes the application. AppLoadError when the text is to
    blame; what the application's own code raises is passed on."""
    is_file = spec.startswith(_FILE)
    module_name, colon, text = spec[len(_FILE) * is_file :].partition(":")
    text = text if colon else DEFAULT_NAME
    target = parse_target(text)
    module = _run_file(module_name) if is_file else _import(module_name, text)
    app = _find(module, target)
    if target.is_call:
        app = _call(app, target)
    return check_app(app, text)


def check_app(app: Any, name: str) -> WSGIApplication:
    """The application, if it is one. AppLoadError."""
    if app is None:
        raise AppLoadError(f"Failed to find application object: {name!r}")
    if not callable(app):
        raise AppLoadError("Application object must be callable.")
    if _is_async(app):
        raise AppLoadError(
            f"{name!r} is an ASGI application, this is a WSGI server: it needs one such as uvicorn"
            " or hypercorn."
        )
    if isinstance(app, FunctionType) and not _takes_two(app):
        raise AppLoadError(
            f"{name!r} does not take environ and start_response; a function that makes the"
            f" application is written '{name}()'."
        )
    return app  # type: ignore[no-any-return]


def _is_async(app: Any) -> bool:
    function = app if isinstance(app, FunctionType) else type(app).__call__
    return isinstance(function, FunctionType) and bool(function.__code__.co_flags & _CO_COROUTINE)


def _takes_two(function: FunctionType) -> bool:
    """By what is called, not by what a decorator says it to be."""
    code = function.__code__
    least = code.co_argcount - len(function.__defaults__ or ())
    named = code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
    return least <= 2 and not named and (code.co_argcount >= 2 or bool(code.co_flags & _CO_VARARGS))


def parse_target(text: str) -> Target:
    """Parses NAME, OBJECT.NAME or FACTORY(ARGUMENTS). AppLoadError."""
    if text.isascii() and text.isidentifier() and not keyword.iskeyword(text):
        return Target((text,))
    import ast

    refusal = AppLoadError(f"Failed to parse {text!r} as an attribute name or function call.")
    try:
        expression = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refusal from None
    call = expression if isinstance(expression, ast.Call) else None
    names = _dotted(call.func if call else expression)
    if not names:
        raise refusal
    if not call:
        return Target(names)
    if any(k.arg is None for k in call.keywords):
        raise AppLoadError(f"Failed to parse arguments as literal values: {text!r}")
    try:
        args = tuple(ast.literal_eval(arg) for arg in call.args)
        kwargs = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise AppLoadError(f"Failed to parse arguments as literal values: {text!r}") from None
    return Target(names, True, args, kwargs)


def _dotted(expression: ast.expr) -> tuple[str, ...]:
    """The names of `a.b.c`; empty for anything else."""
    import ast

    names: list[str] = []
    while isinstance(expression, ast.Attribute):
        names.insert(0, expression.attr)
        expression = expression.value
    return (expression.id, *names) if isinstance(expression, ast.Name) else ()


def _import(name: str, text: str) -> ModuleType:
    path = Path(name)
    if path.suffix == ".py" and path.is_file():
        folder, module = _split(path.with_suffix(""))
        chdir = f"--chdir {folder} " if folder else ""
        raise AppLoadError(f"Failed to find application, did you mean '{chdir}{module}:{text}'?")
    try:
        return import_module(name)
    except NoSuchModuleError as error:
        package, _, attribute = name.rpartition(".")
        if hasattr(sys.modules.get(package), attribute):
            raise AppLoadError(f"{error}, did you mean '{package}:{attribute}'?") from None
        raise AppLoadError(f"{error} (looked for in {Path.cwd()} and sys.path).") from None


def _split(path: Path) -> tuple[str, str]:
    """The folder to change to, where one is needed, and the module in it."""
    below = os.path.relpath(path.absolute())
    if below.startswith(os.pardir + os.sep):
        return str(path.parent), path.name
    return "", below.replace(os.sep, ".")


def _run_file(path: str) -> ModuleType:
    try:
        return import_file(path)
    except NoSuchModuleError as error:
        raise AppLoadError(f"{error} (looked for in {Path.cwd()}).") from None


def _find(module: ModuleType, target: Target) -> Any:
    """Follows the attributes."""
    found: Any = module
    for name in target.names:
        try:
            found = getattr(found, name)
        except AttributeError:
            path = ".".join(target.names)
            sentence = f"Failed to find attribute {path!r} in {module.__name__!r}"
            meant = _meant(module, path)
            end = f", did you mean '{module.__name__}:{meant}'?" if meant else "."
            raise AppLoadError(f"{sentence}{end}") from None
    return found


def _meant(module: ModuleType, name: str) -> str:
    """What a name that the module does not have may stand for; empty when there is nothing."""
    found = [n for n, value in vars(module).items() if callable(value) and n[:2] != "__"]
    usual = {"app": (DEFAULT_NAME, *_FACTORIES), DEFAULT_NAME: ("app", *_FACTORIES)}.get(name, ())
    meant = next((n for n in usual if n in found), "") or similar(name, found, LIKELY)
    return f"{meant}()" if meant in _FACTORIES else meant


def _call(factory: Any, target: Target) -> Any:
    if not callable(factory):
        raise AppLoadError(f"{'.'.join(target.names)!r} can't be called, it is no function.")
    try:
        return factory(*target.args, **target.kwargs)
    except TypeError as error:
        # Without a frame of its own the factory was not entered: the arguments do not fit.
        if error.__traceback__ and error.__traceback__.tb_next is None:
            raise AppLoadError(f"TypeError: {error}") from None
        raise
