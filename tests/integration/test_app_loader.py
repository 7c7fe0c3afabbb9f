# SPDX-License-Identifier: MIT
"""The text that names the application: its forms, and what is said about each mistake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cgunicorn.app_loader import load_app
from cgunicorn.errors import AppLoadError, user_traceback

SOURCE = """
def answer(text):
    def app(environ, start_response):
        start_response("200 OK", [])
        return [text]
    return app

application = answer("application")
app = answer("app")

class holder:
    app = answer("holder.app")

    @staticmethod
    def make():
        return answer("holder.make")

def make(*args, **kwargs):
    return answer(f"make {args} {sorted(kwargs.items())}")

def one(n):
    if n == 0:
        raise TypeError("of the factory's own")
    return answer(n)

def nothing():
    return None

number = 3
table = {"app": app}
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loadable.py").write_text(SOURCE)
    (tmp_path / "loadable_package").mkdir()
    (tmp_path / "loadable_package" / "__init__.py").touch()
    (tmp_path / "loadable_package" / "wsgi.py").write_text(SOURCE)
    (tmp_path / "only_app.py").write_text("app = print")
    (tmp_path / "imports_nothing.py").write_text("import nowhere_to_be_found")
    (tmp_path / "is_broken.py").write_text("def (")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("spec", "body"),
    [
        ("loadable", "application"),
        ("loadable:app", "app"),
        ("loadable_package.wsgi", "application"),
        ("loadable_package.wsgi:app", "app"),
        ("loadable:holder.app", "holder.app"),
        ("loadable:make()", "make () []"),
        (
            "loadable:make(1, 'a', x=[2], y={'k': None})",
            "make (1, 'a') [('x', [2]), ('y', {'k': None})]",
        ),
        ("loadable:make(-1, b'x', (True,))", "make (-1, b'x', (True,)) []"),
        ("loadable:holder.make()", "holder.make"),
    ],
)
def test_form_is_understood(spec: str, body: str) -> None:
    assert load_app(spec)({}, lambda *_: lambda _: None) == [body]


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("loadable:nope", "Failed to find attribute 'nope' in 'loadable'."),
        ("loadable:holder.nope", "Failed to find attribute 'holder.nope' in 'loadable'."),
        (
            "only_app",
            "Failed to find attribute 'application' in 'only_app', did you mean 'only_app:app'?",
        ),
        (
            'loadable:table["app"]',
            "Failed to parse 'table[\"app\"]' as an attribute name or function call.",
        ),
        ("loadable:", "Failed to parse '' as an attribute name or function call."),
        ("loadable:a b", "Failed to parse 'a b' as an attribute name or function call."),
        ("loadable:make()()", "Failed to parse 'make()()' as an attribute name or function call."),
        ("loadable:make(x)", "Failed to parse arguments as literal values: 'make(x)'"),
        ("loadable:make(*[1])", "Failed to parse arguments as literal values: 'make(*[1])'"),
        ("loadable:make(**{})", "Failed to parse arguments as literal values: 'make(**{})'"),
        ("loadable:make({[]: 1})", "Failed to parse arguments as literal values: 'make({[]: 1})'"),
        ("loadable:one()", "TypeError: one() missing 1 required positional argument: 'n'"),
        ("loadable:number()", "'number' can't be called, it is no function."),
        ("loadable:nothing()", "Failed to find application object: 'nothing()'"),
        ("loadable:number", "Application object must be callable."),
        ("loadable.py", "Failed to find application, did you mean 'loadable:application'?"),
        ("loadable.py:app", "Failed to find application, did you mean 'loadable:app'?"),
        (
            "loadable_package/wsgi.py:app",
            "Failed to find application, did you mean 'loadable_package.wsgi:app'?",
        ),
    ],
)
def test_mistake_is_one_sentence(spec: str, sentence: str) -> None:
    with pytest.raises(AppLoadError) as refused:
        load_app(spec)
    assert str(refused.value) == sentence


FACTORY = """
import functools
def create_app(): pass
def needs_keyword(environ, start_response, *, more): pass
def request(request): pass
@functools.wraps(request)
def decorated(*args): pass
def with_more(environ, start_response, more=None): pass
class Site:
    def __call__(self, environ, start_response): pass
site = Site()
async def asgi(scope, receive, send): pass
class Starlette:
    async def __call__(self, scope, receive, send): pass
starlette = Starlette()
"""

NO_TWO = (
    "{0!r} does not take environ and start_response; a function that makes the application is"
    " written '{0}()'."
)
ASGI = (
    "{!r} is an ASGI application, this is a WSGI server: it needs one such as uvicorn or hypercorn."
)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "factory",
            "Failed to find attribute 'application' in 'factory', did you mean"
            " 'factory:create_app()'?",
        ),
        ("factory:create_app", NO_TWO.format("create_app")),
        ("factory:request", NO_TWO.format("request")),
        ("factory:needs_keyword", NO_TWO.format("needs_keyword")),
        ("factory:asgi", ASGI.format("asgi")),
        ("factory:starlette", ASGI.format("starlette")),
    ],
)
def test_what_cannot_be_called_as_an_application(tmp_path: Path, spec: str, sentence: str) -> None:
    (tmp_path / "factory.py").write_text(FACTORY)
    with pytest.raises(AppLoadError) as refused:
        load_app(spec)
    assert str(refused.value) == sentence


@pytest.mark.parametrize("name", ["decorated", "with_more", "Site", "site"])
def test_what_can_be_called_as_an_application(tmp_path: Path, name: str) -> None:
    """As far as it can be told without calling it."""
    (tmp_path / "factory.py").write_text(FACTORY)
    assert callable(load_app(f"factory:{name}"))


def test_path_of_a_file_is_told_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "site.py").touch()
    outside = tmp_path.parent / f"{tmp_path.name}-outside.py"
    outside.touch()
    for spec, meant in (
        ("./inner/site.py", "inner.site:application"),
        (f"{tmp_path}/inner/site.py:app", "inner.site:app"),
        (f"{outside}:app", f"--chdir {outside.parent} {outside.stem}:app"),
    ):
        with pytest.raises(AppLoadError) as refused:
            load_app(spec)
        assert str(refused.value) == f"Failed to find application, did you mean '{meant}'?"


@pytest.mark.parametrize("spec", [":app", "..loadable", "a b:app", "./loadable:app"])
def test_what_cannot_be_a_module_is_one_sentence(spec: str) -> None:
    with pytest.raises(AppLoadError, match=r"^'.*' is not the name of a module, as in "):
        load_app(spec)


@pytest.mark.parametrize("spec", ["nowhere", "nowhere.at.all:app", "loadable_package.nowhere:app"])
def test_unknown_module_is_one_sentence(spec: str, tmp_path: Path) -> None:
    with pytest.raises(AppLoadError, match=r"^No module named '.*nowhere' ") as refused:
        load_app(spec)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.parametrize(
    ("spec", "kind", "line"),
    [
        ("imports_nothing:app", ModuleNotFoundError, 'imports_nothing.py", line 1'),
        ("is_broken:app", SyntaxError, 'is_broken.py", line 1'),
        ("loadable:one(0)", TypeError, 'loadable.py", line 23'),
    ],
)
def test_exception_of_the_users_code_is_passed_on(
    spec: str, kind: type[Exception], line: str
) -> None:
    with pytest.raises(kind) as raised:
        load_app(spec)
    assert line in user_traceback(raised.value)
