# SPDX-License-Identifier: MIT
"""The package's exceptions, whose text is meant for the person who runs the server, and how that
person's values and the exceptions of that person's own code are shown."""

from __future__ import annotations

import importlib
import os
import reprlib
import sys
from pathlib import Path
from types import FrameType

_OWN_FOLDER = str(Path(__file__).parent) + os.sep
_IMPORT_SYSTEM = (importlib.__file__, "<frozen importlib")

#: Cut, since a config file may set anything.
_VALUE = reprlib.Repr()
_VALUE.maxstring = _VALUE.maxother = 200


class ConfigError(Exception):
    """The configuration cannot be used. `details` is the traceback of a config file that raised,
    else empty."""

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details


class NoAppError(ConfigError):
    """No application is named anywhere."""


class AppLoadError(Exception):
    """The application was not found where it was said to be, or is none. Exceptions of its own
    code are passed on as they are."""


def shown(value: object) -> str:
    """A value in a message."""
    try:
        return _VALUE.repr(value)
    except Exception:  # noqa: BLE001 - a class of the user's, or an int of too many digits
        return f"<{type(value).__name__}>"


def user_error(error: BaseException) -> str:
    """An exception of the user's code inside a sentence."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - a class of the user's
        text = ""
    name = type(error).__name__
    return f"{name}: {text}" if text else name


def user_place() -> str:
    """The line of the user's code from which this package was called, as FILE:LINE."""
    frame: FrameType | None = sys._getframe()
    while frame and frame.f_code.co_filename.startswith(_OWN_FOLDER):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else ""


def user_traceback(error: BaseException) -> str:
    """The traceback of an exception of the user's code, without the frames of this package and of
    the import system that lead there."""
    import traceback

    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename.startswith((_OWN_FOLDER, *_IMPORT_SYSTEM)):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))
