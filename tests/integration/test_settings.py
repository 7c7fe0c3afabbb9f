# SPDX-License-Identifier: MIT
"""The settings table: agrees with the C side and with Gunicorn, and validates."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cgunicorn import _cgunicorn
from cgunicorn.cli import invocation
from cgunicorn.config import load
from cgunicorn.settings import SECTIONS, SETTINGS, Setting, reference
from cgunicorn.settings.kinds import INT64_MAX

ROWS = SETTINGS.values()

#: Settings that Gunicorn does not have.
OURS = {
    "boot_timeout",
    "client_body_buffer_size",
    "client_body_timeout",
    "client_header_timeout",
    "limit_request_body",
    "max_streams",
    "max_worker_lifetime",
    "max_worker_lifetime_jitter",
    "reload_on_rss",
    "reload_on_rss_jitter",
    "rolling_reload",
    "send_timeout",
}


def test_every_setting_of_c_is_in_the_table_with_its_type() -> None:
    for name, c_type in _cgunicorn.setting_fields:
        assert SETTINGS[name].kind.c_type == c_type, name
        assert SETTINGS[name].in_c


#: Below which the sources are.
ROOT = Path(__file__).parents[2]

#: How the help of a row begins that nothing asks for.
WITHOUT_USE = ("Has no effect: ", "Refused: ")


def fields_read_in_c() -> Iterator[str]:
    """Members that C takes from some struct, the settings among them."""
    for folder in ("server", "workers", "pyext"):
        for path in (ROOT / folder).rglob("*.c"):
            yield from re.findall(r"(?:->|\.)(\w+)", path.read_text())


def settings_read_in_python(tree: ast.AST) -> Iterator[str]:
    """`cfg.NAME`, `config.NAME` and `values["NAME"]`, and the hooks that are called by name."""
    for node in ast.walk(tree):
        text = (
            ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)) else ""
        )
        yield from re.findall(r"(?:^|\.)(?:cfg|config)\.(\w+)$", text)
        yield from re.findall(r"^values\['(\w+)'\]$", text)
        yield from re.findall(r"^self\._(?:call|run|run_guarded)\('(\w+)'", text)


def test_every_setting_is_used_or_says_that_it_is_not() -> None:
    package = ROOT / "pyext" / "cgunicorn"
    files = [path for path in package.rglob("*.py") if path.parent != package / "settings"]
    in_python = {n for path in files for n in settings_read_in_python(ast.parse(path.read_text()))}
    in_c = set(fields_read_in_c())
    for row in ROWS:
        is_used = row.name in in_python or (row.in_c and row.name in in_c)
        says_no = bool(row.instead) or row.help.startswith(WITHOUT_USE)
        assert is_used != says_no, f"{row.name}: used {is_used}, marked as without use {says_no}"


@pytest.fixture(scope="module")
def gunicorns() -> dict[str, Any]:
    """Gunicorn's own table: name -> setting."""
    config = pytest.importorskip("gunicorn.config")
    return {setting.name: setting for setting in config.KNOWN_SETTINGS}


def test_every_setting_of_gunicorn_is_here(gunicorns: dict[str, Any]) -> None:
    assert set(gunicorns) - set(SETTINGS) == set()
    assert set(SETTINGS) - set(gunicorns) == OURS


def test_flags_are_gunicorns(gunicorns: dict[str, Any]) -> None:
    for name, setting in gunicorns.items():
        assert SETTINGS[name].flags == tuple(setting.cli or ()), name


def test_defaults_are_gunicorns(gunicorns: dict[str, Any]) -> None:
    """Or the row says what is different. A function, the default of its hooks, stands for none."""
    config = load(invocation(["app:app"], {}))
    for name, setting in gunicorns.items():
        value = setting().get()
        if not callable(value) and value != config.value_of(name):
            assert SETTINGS[name].unlike or SETTINGS[name].instead, name


def test_documentation_is_what_the_table_says() -> None:
    written = Path(__file__).parents[2] / "docs" / "settings.md"
    assert written.read_text() == "\n".join(reference.pages()), "run ./dev docs"


def test_our_own_flags_are_the_names() -> None:
    for name in OURS:
        assert SETTINGS[name].flags == ("--" + name.replace("_", "-"),)


def test_flags_are_unique() -> None:
    flags = Counter(flag for row in ROWS for flag in row.flags)
    assert [flag for flag, n in flags.items() if n > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_is_sound(row: Setting) -> None:
    assert row.section in SECTIONS
    assert row.help and "\n" not in row.help and len(row.help) <= 70
    assert row.default is None or row.accept(row.default) == row.default
    assert 0 <= row.least <= row.most <= INT64_MAX
    assert not row.instead.endswith(".")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("workers", 3, 3),
        ("workers", "3", 3),
        ("workers", " 010 ", 10),
        ("workers", "0x10", 16),
        ("workers", True, 1),
        ("workers", "auto", "auto"),
        ("workers", " AUTO ", "auto"),
        ("umask", "0022", 0o22),
        ("umask", "0o22", 0o22),
        ("umask", "18", 18),
        ("umask", 0o22, 0o22),
        ("preload_app", "True", True),
        ("preload_app", " false ", False),
        ("sendfile", True, True),
        ("bind", "127.0.0.1:1", ("127.0.0.1:1",)),
        ("bind", ["[::1]:1", "unix:x"], ("[::1]:1", "unix:x")),
        ("raw_env", ["A=b=c"], ("A=b=c",)),
        ("raw_env", [], ()),
        ("errorlog", "  x.log ", "x.log"),
        ("loglevel", "DEBUG", "debug"),
        ("limit_request_body", 2**40, 2**40),
        ("forwarded_allow_ips", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
        ("forwarded_allow_ips", ["10.0.0.0/8", "::1"], ("10.0.0.0/8", "::1")),
        ("forwarded_allow_ips", "*", ("*",)),
        ("forwarded_allow_ips", "", ()),
        ("secure_scheme_headers", {"X-Scheme": "https"}, {"X-Scheme": "https"}),
        ("secure_scheme_headers", {}, {}),
        ("header_map", "Refuse", "refuse"),
        ("proxy_protocol", True, "auto"),
        ("proxy_protocol", False, "off"),
        ("proxy_protocol", "True", "auto"),
        ("proxy_protocol", " V2 ", "v2"),
        ("proxy_allow_ips", "10.0.0.0/8, ::1", ("10.0.0.0/8", "::1")),
    ],
)
def test_value_is_accepted(name: str, given: object, value: object) -> None:
    assert SETTINGS[name].accept(given) == value


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        (
            "workers",
            -1,
            "Value must be positive: -1; it must be an integer from 0 to 1000 or 'auto'.",
        ),
        ("workers", 1001, "it must be an integer from 0 to 1000 or 'auto'."),
        ("workers", "many", "it must be an integer from 0 to 1000 or 'auto'."),
        ("timeout", 0.5, "it must be an integer from 0 to 2147483647, in seconds."),
        ("timeout", 2**70, "it must be an integer from 0 to 2147483647, in seconds."),
        ("limit_request_body", 2**63, f"it must be an integer from 0 to {2**63 - 1}, in bytes."),
        ("umask", "08", "it must be an integer from 0o0 to 0o777."),
        ("preload_app", "yes", "it must be True or False."),
        ("preload_app", 1, "it must be True or False."),
        ("errorlog", b"x", "it must be a string."),
        ("errorlog", "a\0b", "it must not contain a NUL byte."),
        ("bind", 8000, "it must be a string or a list of strings."),
        ("bind", [8000], "it must be a string or a list of strings."),
        ("bind", [], "at least one address is needed."),
        ("bind", ["127.0.0.1:1", "x:y"], "'y' is not a valid port number."),
        (
            "worker_class",
            "mine.Worker",
            "this version has the worker classes 'sync', 'async' and 'gthread'.",
        ),
        ("worker_class", 1, "it must be a class or a string."),
        ("loglevel", "loud", "it must be one of debug, info, warning, error, critical."),
        ("raw_env", ["A"], "environment setting 'A' invalid, it must be NAME=VALUE."),
        ("raw_env", ["=b"], "environment setting '=b' invalid, it must be NAME=VALUE."),
        ("tmp_upload_dir", "/no/such", "'/no/such' is not a folder."),
        (
            "forwarded_allow_ips",
            "127.0.0.1, 10.0.0.1/8",
            "'10.0.0.1/8' is not an IP address or a network without bits behind its prefix.",
        ),
        ("forwarded_allow_ips", 1, "it must be a string with commas or a list of strings."),
        ("forwarder_headers", {}, "it must be a string with commas or a list of strings."),
        ("secure_scheme_headers", "a:b", "it must be a dict of header names and values."),
        ("secure_scheme_headers", {"X-A": 1}, "it must be a dict of header names and values."),
        ("secure_scheme_headers", {"a b": "c"}, "'a b' is not a header name."),
        ("secure_scheme_headers", {"a": "b\nc"}, "'b\\nc' is not a header value in ASCII."),
        ("header_map", "allow", "it must be one of drop, refuse, dangerous."),
        ("proxy_protocol", "v3", "it must be one of off, v1, v2, auto."),
        ("proxy_protocol", 1, "it must be one of off, v1, v2, auto."),
        ("proxy_allow_ips", 1, "it must be a string with commas or a list of strings."),
        ("strip_header_spaces", "yes", "it must be True or False."),
        ("chdir", "/no/such", "can't chdir to '/no/such'."),
    ],
)
def test_value_is_refused_by_saying_what_is_valid(name: str, given: object, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        SETTINGS[name].accept(given)
    assert str(refused.value) == sentence
