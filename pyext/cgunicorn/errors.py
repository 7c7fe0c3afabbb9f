# SPDX-License-Identifier: MIT
"""The package's exceptions, whose text is meant for the person who runs the server, and how the
exceptions of that person's own code are shown."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

_OWN_FOLDER = str(Path(__file__).parent) + os.sep
_IMPORT_SYSTEM = (importlib.__file__, "<frozen importlib")


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


def user_traceback(error: BaseException) -> str:
    """The traceback of an exception of the user's code, without the frames of this package and of
    the import system that lead there."""
    import traceback

    frame = error.__traceback__
    while frame and frame.tb_frame.f_code.co_filename.startswith((_OWN_FOLDER, *_IMPORT_SYSTEM)):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))
