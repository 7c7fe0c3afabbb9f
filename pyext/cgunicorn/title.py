# SPDX-License-Identifier: MIT
"""The titles of the server's processes."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

from cgunicorn import _cgunicorn


def set_title(text: str) -> None:
    """Through the package setproctitle where that is installed: an application that gives its
    processes titles does it by that, and there is one place for them, which whoever comes second
    does not find. Otherwise by our own means."""
    shared = _shared()
    if shared:
        shared(text)
    _cgunicorn.set_title(None if shared else text)


@functools.cache
def _shared() -> Callable[[str], None] | None:
    if sys.platform == "darwin":  # where what it calls does not stand a fork
        return None
    try:
        from setproctitle import setproctitle
    except Exception:  # noqa: BLE001 - a package of others', which nothing else depends on
        return None
    return setproctitle  # type: ignore[no-any-return]
