# SPDX-License-Identifier: MIT
"""cgunicorn: a pre-fork WSGI server in C, in the Gunicorn style."""

from __future__ import annotations

__version__: str

__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # The version stands in the file VERSION, from where the build puts it into the extension;
    # importing the package alone must not load that.
    if name == "__version__":
        from cgunicorn._cgunicorn import version

        return version
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
