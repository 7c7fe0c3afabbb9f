# SPDX-License-Identifier: MIT
"""The setting spew: every line of Python that the application runs, with the values of the names in
it, on standard error."""

from __future__ import annotations

import linecache
import re
import sys
import threading
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_WORD = re.compile(r"[^\W\d]\w*")


class Spew:
    """Traces this thread, and all that Python starts from now on."""

    def __init__(self) -> None:
        threading.settrace(_trace)
        sys.settrace(_trace)

    def through(self, application: WSGIApplication) -> WSGIApplication:
        """The application, traced in the server's own threads too, which Python has not started."""

        def traced(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            sys.settrace(_trace)
            return application(environ, start_response)

        return traced


def _trace(frame: FrameType, event: str, arg: object) -> Any:
    if event == "line":
        name = frame.f_globals.get("__name__", "?")
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)
        print(f"{name}:{frame.f_lineno}: {line.strip()}{_values(frame, line)}", file=sys.stderr)
    return _trace


def _values(frame: FrameType, line: str) -> str:
    """Behind the line, those of its names that the function has."""
    known = frame.f_locals
    words = dict.fromkeys(_WORD.findall(line))
    return "".join(f"\n\t{word} = {_shown(known[word])}" for word in words if word in known)


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - an object that is being made may raise any
        return f"<{type(error).__name__}>"
