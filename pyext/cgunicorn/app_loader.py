# SPDX-License-Identifier: MIT
"""From the text that names the application to the callable.

MODULE, MODULE:NAME, MODULE:OBJECT.NAME, MODULE:FACTORY(ARGUMENTS); the arguments are literals, the
name is `application` where none is given. For the module may stand file:PATH, as uWSGI's
`wsgi-file` does.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from cgunicorn.errors import AppLoadError
from cgunicorn.imports import NoSuchModuleError, import_file, import_module

if TYPE_CHECKING:
    import ast

    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.config import Config

DEFAULT_NAME = "application"

_FILE = "file:"


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
    app = _find(module, target, hint=not colon)
    if target.is_call:
        app = _call(app, target)
    return check_app(app, text)


def check_app(app: Any, name: str) -> WSGIApplication:
    """The application, if it is one. AppLoadError."""
    if app is None:
        raise AppLoadError(f"Failed to find application object: {name!r}")
    if not callable(app):
        raise AppLoadError("Application object must be callable.")
    return app  # type: ignore[no-any-return]


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
        meant = ".".join(path.with_suffix("").parts)
        raise AppLoadError(f"Failed to find application, did you mean '{meant}:{text}'?")
    try:
        return import_module(name)
    except NoSuchModuleError as error:
        raise AppLoadError(f"{error} (looked for in {Path.cwd()} and sys.path).") from None


def _run_file(path: str) -> ModuleType:
    try:
        return import_file(path)
    except NoSuchModuleError as error:
        raise AppLoadError(f"{error} (looked for in {Path.cwd()}).") from None


def _find(module: ModuleType, target: Target, hint: bool) -> Any:
    """Follows the attributes. `hint`: the name was not given, so another may have been meant."""
    found: Any = module
    for name in target.names:
        try:
            found = getattr(found, name)
        except AttributeError:
            path = ".".join(target.names)
            sentence = f"Failed to find attribute {path!r} in {module.__name__!r}"
            if hint and callable(getattr(module, "app", None)):
                sentence += f", did you mean '{module.__name__}:app'?"
            else:
                sentence += "."
            raise AppLoadError(sentence) from None
    return found


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
