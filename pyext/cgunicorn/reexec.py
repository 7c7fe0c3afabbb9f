# SPDX-License-Identifier: MIT
"""What this process got from whoever started it."""

from __future__ import annotations

from collections.abc import MutableMapping

from cgunicorn import _cgunicorn


def take_inherited(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The variables with which sockets are passed on. Those that are meant for this process alone
    are gone from the environment then: no child may take them for its own."""
    found = {}
    for name, stays in _cgunicorn.inherited_variables:
        if name in environ:
            found[name] = environ[name] if stays else environ.pop(name)
    return found
