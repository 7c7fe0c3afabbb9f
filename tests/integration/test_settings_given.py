# SPDX-License-Identifier: MIT
"""Each setting of the table, given in each way there is."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from cgunicorn.cli import invocation
from cgunicorn.config import Config, load
from cgunicorn.config_view import own
from cgunicorn.errors import ConfigError
from cgunicorn.settings import SETTINGS, Setting
from cgunicorn.settings.kinds import (
    ANY,
    BOOL,
    CALLABLE,
    CLASS,
    CSV,
    DICT,
    FIELDS,
    GROUP,
    INT,
    INT_OR_AUTO,
    LIST,
    MODE,
    PROXY_MODE,
    STR,
    USER,
)

#: They are refused, whatever they are given: test_bad_input.py.
REFUSED = ("certfile", "keyfile", "ssl_context")

ROWS = [row for row in SETTINGS.values() if row.name not in REFUSED]


@dataclass(frozen=True)
class Example:
    """A value that is not the default, as a config file has it, as text, and as it is used."""

    python: str
    text: str
    value: object


def _text(value: str) -> Example:
    return Example(repr(value), value, value)


def _list(*items: str) -> Example:
    return Example(repr(list(items)), shlex.join(items), items)


BY_NAME = {
    "bind": _list("127.0.0.1:1", "unix:a b"),
    "chdir": Example("'inner'", "inner", "{folder}/inner"),
    "tmp_upload_dir": Example("'inner'", "inner", "{folder}/inner"),
    "config": _text("other.py"),
    "paste": Example("'site.ini'", "site.ini", "{folder}/site.ini"),
    "worker_class": _text("gthread"),
    "raw_env": _list("A=b=c", "D= e"),
    "raw_paste_global_conf": _list("A=b", "C=d"),
    "reload_extra_files": _list("inner", "*.html"),
    "forwarded_allow_ips": Example("'10.0.0.0/8, ::1'", "10.0.0.0/8,::1", ("10.0.0.0/8", "::1")),
    "proxy_allow_ips": Example("['*']", "*", ("*",)),
    "uwsgi_allow_ips": Example("'10.0.0.1'", "10.0.0.1", ("10.0.0.1",)),
    "syslog_addr": _text("unix:///dev/log#dgram"),
    "statsd_host": _text("localhost:8125"),
}

BY_KIND = {
    INT_OR_AUTO: Example("7", "7", 7),
    MODE: Example("0o22", "022", 0o22),
    STR: _text("a text"),
    LIST: _list("one", "two words"),
    CSV: Example("'a, b'", "a,b", ("a", "b")),
    PROXY_MODE: Example("True", "auto", "auto"),
    FIELDS: Example("{'X-A': 'b'}", '{"X-A": "b"}', {"X-A": "b"}),
    DICT: Example("{'version': 1}", '{"version": 1}', {"version": 1}),
    CLASS: _text("package.module.Class"),
    CALLABLE: Example("print", "builtins.print", print),
    ANY: _text("something"),
    USER: Example("12345", "12345", 12345),
    GROUP: Example("12345", "12345", 12345),
}

#: What no setting of the kind can be.
WRONG = {
    INT: "'many'",
    INT_OR_AUTO: "'many'",
    MODE: "'09'",
    BOOL: "'perhaps'",
    STR: "5",
    LIST: "[5]",
    CSV: "{}",
    PROXY_MODE: "'v9'",
    FIELDS: "[]",
    DICT: "[]",
    CLASS: "5",
    CALLABLE: "5",
    USER: "'no such user'",
    GROUP: "'no such group'",
}


def example(row: Setting) -> Example:
    if row.name in BY_NAME:
        return BY_NAME[row.name]
    if row.choices:
        return _text(next(choice for choice in row.choices if choice != row.default))
    if row.kind is BOOL:
        value = not row.default
        return Example(repr(value), str(value), value)
    if row.kind is INT:
        value = max(row.least, 1) + (row.default == max(row.least, 1))
        return Example(str(value), str(value), value)
    return BY_KIND[row.kind]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with what the examples name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "other.py").touch()
    (tmp_path / "site.ini").touch()
    return tmp_path


def config(*argv: str, **environ: str) -> Config:
    return load(invocation(["app:app", *argv], environ))


def check(cfg: Config, row: Setting, folder: Path) -> None:
    value = example(row).value
    expected = value.format(folder=folder) if isinstance(value, str) else value
    assert cfg.value_of(row.name) == own(expected)


each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@pytest.mark.parametrize("row", SETTINGS.values(), ids=lambda row: row.name)
def test_default(row: Setting, folder: Path) -> None:
    found_elsewhere = {
        "chdir": str(folder),
        "user": os.geteuid(),
        "group": os.getegid(),
        "boot_timeout": SETTINGS["timeout"].default,
        "default_proc_name": "app:app",
    }
    assert config().value_of(row.name) == own(found_elsewhere.get(row.name, row.default))


@each_row
def test_config_file(row: Setting, folder: Path) -> None:
    if row.name == "config":
        pytest.skip("has no effect inside of itself")
    (folder / "gunicorn.conf.py").write_text(f"{row.name} = {example(row).python}\n")
    cfg = config()
    check(cfg, row, folder)
    assert cfg.source(row.name) == "gunicorn.conf.py"


@each_row
def test_environment_variable(row: Setting, folder: Path) -> None:
    cfg = config(**{row.variable: example(row).text})
    check(cfg, row, folder)
    assert cfg.warnings == () or row.instead


@pytest.mark.parametrize(
    ("row", "flag"),
    [pytest.param(row, flag, id=flag) for row in ROWS for flag in row.flags],
)
def test_flag(row: Setting, flag: str, folder: Path) -> None:
    given = example(row)
    if row.kind is BOOL:
        assert getattr(config(flag), row.name) is row.flag_value
        return
    items = given.value if row.kind is LIST else (given.text,)
    check(config(*(word for item in items for word in (flag, item))), row, folder)


@pytest.mark.parametrize("row", [row for row in ROWS if row.kind in WRONG], ids=lambda r: r.name)
def test_wrong_value(row: Setting, folder: Path) -> None:
    if row.name == "config":
        pytest.skip("has no effect inside of itself")
    (folder / "gunicorn.conf.py").write_text(f"\n{row.name} = {WRONG[row.kind]}\n")
    with pytest.raises(ConfigError) as refused:
        config()
    told = str(refused.value)
    assert told.startswith(f"Invalid value for {row.name}: ")
    assert " (from gunicorn.conf.py:2): " in told
    assert refused.value.details == ""


@pytest.mark.parametrize("row", [row for row in ROWS if row.instead], ids=lambda row: row.name)
def test_setting_without_effect_draws_one_warning(row: Setting, folder: Path) -> None:
    assert config().warnings == ()
    (folder / "gunicorn.conf.py").write_text(f"{row.name} = {example(row).python}\n")
    told = f"{row.name} (from gunicorn.conf.py) has no effect here: {row.instead}."
    assert config().warnings == (told,)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("workers", "many", "it must be an integer from 0 to 1000 or 'auto'."),
        ("bind", "'a", "it can't be split into items: No closing quotation."),
        ("preload_app", "perhaps", "it must be True or False."),
        ("secure_scheme_headers", "{", "it is no JSON: "),
        ("post_fork", "mine", "Value 'mine' is not import string. Format: "),
        ("post_fork", "os.mine", "Can not load 'mine' from 'os'."),
        ("post_fork", "not_there.mine", "No module named 'not_there'."),
    ],
)
def test_wrong_text_in_a_variable(name: str, text: str, told: str) -> None:
    variable = SETTINGS[name].variable
    with pytest.raises(ConfigError) as refused:
        config(**{variable: text})
    start = f"Invalid value for {name}: {text!r} (from the environment variable {variable}): {told}"
    assert str(refused.value).startswith(start)


# Functions


HOOKS = {
    **dict.fromkeys(("on_starting", "on_reload", "when_ready", "pre_exec", "on_exit"), 1),
    **dict.fromkeys(("post_worker_init", "worker_int", "worker_abort"), 1),
    **dict.fromkeys(("pre_fork", "post_fork", "pre_request", "child_exit", "worker_exit"), 2),
    "nworkers_changed": 3,
    "post_request": 4,
}


def test_hooks_are_gunicorns() -> None:
    assert {row.name for row in SETTINGS.values() if row.kind is CALLABLE} == set(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_hook_must_take_its_arguments(name: str) -> None:
    n = HOOKS[name]
    functions = {
        0: lambda: None,
        1: lambda a: None,
        2: lambda a, b: None,
        3: lambda a, b, c: None,
        4: lambda a, b, c, d: None,
        5: lambda a, b, c, d, e: None,
    }
    valid = {2, 3, 4} if name == "post_request" else {n}
    for count, function in functions.items():
        if count in valid:
            assert SETTINGS[name].accept(function) is function
            continue
        with pytest.raises(
            ValueError, match=f"^Value must have an arity of: {n}; it is called with "
        ):
            SETTINGS[name].accept(function)
    assert SETTINGS[name].accept(lambda *args: None)
    method = SimpleNamespace(hook=functions[n]).hook
    assert SETTINGS[name].accept(method) is method


class SyncWorker:
    """Looks like Gunicorn's."""


SyncWorker.__module__ = "gunicorn.workers.sync"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("gunicorn.workers.sync.SyncWorker", "sync"),
        ("gunicorn.workers.gthread.ThreadWorker", "gthread"),
        ("egg:gunicorn#sync", "sync"),
        ("egg:gunicorn#gthread", "gthread"),
        (SyncWorker, "sync"),
        (lambda: SyncWorker, "sync"),
    ],
)
def test_worker_classes_of_gunicorn_have_their_name_here(given: object, name: str) -> None:
    assert SETTINGS["worker_class"].accept(given) == name


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("gevent", "use 'async' with --threads"),
        ("gevent_wsgi", "use 'async' with --threads"),
        ("eventlet", "use 'async' with --threads"),
        ("tornado", "serve a Tornado application by Tornado itself"),
        ("asgi", "ASGI applications need an ASGI server"),
        ("uvicorn.workers.UvicornWorker", "ASGI applications need an ASGI server"),
        ("uvicorn_worker.UvicornWorker", "ASGI applications need an ASGI server"),
        (object, "this version has the worker classes 'sync', 'async' and 'gthread'."),
    ],
)
def test_worker_class_elsewhere_is_refused_by_saying_what_to_do(given: object, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        SETTINGS["worker_class"].accept(given)


@pytest.mark.parametrize("address", ["host", "host:1", "[::1]:1", "[::1]", "unix:///run/s"])
def test_address_of_statsd(address: str) -> None:
    assert SETTINGS["statsd_host"].accept(address) == address


@pytest.mark.parametrize("address", ["", ":1", "host:x", "unix://", "http://x"])
def test_wrong_address_of_statsd(address: str) -> None:
    with pytest.raises(ValueError, match=r"^Value must be one of"):
        SETTINGS["statsd_host"].accept(address)
