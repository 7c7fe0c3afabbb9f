# SPDX-License-Identifier: MIT
"""Exceptions in the error log: whole, whatever they are made of, and never a line that looks like
one of the server's own."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from harness import Server

Serve = Callable[..., Server]

#: Begins each line of the server's own.
STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[\w+\] "
FORGED = "[2026-11-20 12:00:00 +0000] [1] [CRITICAL] forged"

APP = r"""
class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")

class NoText(Exception):
    def __str__(self):
        return 7

def several_lines():
    raise ValueError("first\n  second\n\nlast")

def foreign():
    raise ValueError("caf\u00e9 \u20ac \U0001f600 \udcff\x00\x1b[31m")

def huge():
    raise ValueError("begin " + "x" * 3_000_000 + " end")

def chained():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise LookupError("the later one") from error

def in_a_handler():
    try:
        1 / 0
    except ZeroDivisionError:
        raise LookupError("the later one")

def recursion():
    recursion()

def circle():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    raise one

def unprintable():
    raise Unprintable

def no_text():
    raise NoText

def group():
    raise BaseExceptionGroup("several", [ValueError("one"), OSError(2, "two")])

def without_traceback():
    raise ValueError("plain").with_traceback(None)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/forge":
        raise ValueError(environ["HTTP_X_TEXT"] + " of " + path)
    if path.startswith("/echo"):
        raise ValueError("no such page: " + path)
    if path != "/fine":
        globals()[path[1:]]()
    start_response("200 OK", [])
    return [b"fine"]
"""

#: What the log says behind "Error handling request GET /PATH" and "Traceback ...", as patterns.
SAID = {
    "several_lines": r"\nValueError: first\n  second\n\nlast\n",
    "foreign": r"\nValueError: caf\u00e9 \u20ac \U0001f600 \\udcff\?\?\[31m\n",
    "huge": r"\nValueError: begin x{3000000} end\n",
    "chained": r"ZeroDivisionError: .*\n\nThe above exception was the direct cause of"
    r"(.*\n)+LookupError: the later one\n",
    "in_a_handler": r"ZeroDivisionError: .*\n\nDuring handling of the above exception, another"
    r"(.*\n)+LookupError: the later one\n",
    "recursion": r"\[Previous line repeated \d+ more times\]\nRecursionError: .*\n",
    "circle": r"ValueError: two\n\nThe above(.*\n)+ValueError: one\n",
    "unprintable": r"Unprintable: <exception str\(\) failed>\n",
    "no_text": r"NoText: <exception str\(\) failed>\n",
    "without_traceback": r"\nValueError: plain\n",
}


def get(server: Server, target: str, *fields: str) -> int:
    with server.connect() as client:
        client.send_request("GET", target, *fields)
        return client.response().status


@pytest.fixture
def server(serve: Serve, worker_class: str) -> Server:
    return serve(APP, "-k", worker_class)


@pytest.mark.parametrize("path", SAID)
def test_an_exception_is_told_as_python_tells_it(server: Server, path: str) -> None:
    assert get(server, f"/{path}") == 500
    head = rf"(?m)^{STAMP}Error handling request GET /{path}\n(Traceback .*\n)?"
    server.wait_log(rf"{head}(.*\n)*?.*{SAID[path]}")
    # The worker is none the worse for it.
    assert get(server, "/fine") == 200
    assert len(re.findall("Booting worker", server.log)) == 1


def test_a_group_of_exceptions_shows_all_of_them(server: Server) -> None:
    assert get(server, "/group") == 500
    server.wait_log(r"Error handling request GET /group")
    if "NameError" not in server.log:  # CPython 3.11
        server.wait_log(r"\| ValueError: one\n(.*\n)+.*\| FileNotFoundError: \[Errno 2\] two\n")
    assert get(server, "/fine") == 200


@pytest.mark.parametrize("ending", ["%0A", "%0D", "%0D%0A", "%0B", "%0C", "%1B[2K%0A", "%0A%0A"])
def test_a_client_cannot_forge_a_line_by_the_text_of_an_exception(
    server: Server, ending: str
) -> None:
    """The path is decoded before the application makes a text of it."""
    forged = FORGED.replace(" ", "%20")
    assert get(server, f"/echo{ending}{forged}") == 500
    server.wait_log("ValueError: no such page: /echo")
    server.stop()
    assert f" {FORGED}" in server.log or f"?{FORGED}" in server.log
    assert not re.search(rf"(?m)^{STAMP}forged", server.log)
    assert not re.search(r"[\r\v\f\x1b]", server.log)


@pytest.mark.parametrize("bytes_", [b"\r", b"\n", b"\r\n", b"\0", b"\x0b", b"\x1b[2K"])
def test_a_field_with_a_control_character_does_not_reach_the_application_or_the_log(
    server: Server, bytes_: bytes
) -> None:
    head = b"GET /forge HTTP/1.1\r\nHost: a\r\nX-Text: x" + bytes_ + FORGED.encode()
    answers = server.raw(head + b"\r\nConnection: close\r\n\r\n")
    assert answers.startswith(b"HTTP/1.1 400 ")
    server.stop()
    assert "forged" not in server.log
    assert "\x1b" not in server.log


def test_a_field_of_latin_1_is_told_in_utf_8(server: Server) -> None:
    assert get(server, "/forge", "X-Text: caf\xe9") == 500
    server.wait_log("ValueError: caf\u00e9 of /forge\n")
