# SPDX-License-Identifier: MIT
"""The checks that single settings add to those of their kind. Each takes a value of the kind and
returns the value to use; what it refuses is a ValueError whose text is a sentence for the user.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cgunicorn import _cgunicorn
from cgunicorn.errors import shown

_CLASS_ALIASES = {
    "gunicorn.workers.sync.SyncWorker": "sync",
    "gunicorn.workers.gthread.ThreadWorker": "gthread",
    "egg:gunicorn#sync": "sync",
    "egg:gunicorn#gthread": "gthread",
}

#: What to do instead, by a word in the name of a worker class that is not here.
_CLASSES_ELSEWHERE = {
    "gevent": "use 'async' with --threads, which keeps thousands of clients with a few threads.",
    "eventlet": "use 'async' with --threads, which keeps thousands of clients with a few threads.",
    "tornado": "serve a Tornado application by Tornado itself, a WSGI application by 'async'.",
    "asgi": "ASGI applications need an ASGI server, such as uvicorn or hypercorn.",
    "uvicorn": "ASGI applications need an ASGI server, such as uvicorn or hypercorn.",
}

#: Of an IPv6 address in its longest form, a zone and a prefix there may be some more.
_ADDRESS_MAX = 100

_NO_TLS = (
    "this version does not speak TLS; let a proxy such as nginx end TLS in front of it, and take"
    " this setting away."
)


def check_binds(binds: tuple[str, ...]) -> tuple[str, ...]:
    if not binds:
        raise ValueError("at least one address is needed.")
    for bind in binds:
        if bind.isascii() and bind.isdigit() and int(bind[:6]):
            raise ValueError(f"{shown(bind)} is no address, did you mean ':{bind[:5]}'?")
        if bind.startswith(("/", "./", "../")):
            raise ValueError(f"{shown(bind)} is no address, did you mean {shown(f'unix:{bind}')}?")
        if bind.count(",") and ":" in bind and not bind.startswith("unix:"):
            raise ValueError(f"{shown(bind)} is no address; each of several has a -b of its own.")
        _cgunicorn.parse_bind(bind)
    return binds


def check_worker_class(value: str | type) -> str:
    name = f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value
    name = _CLASS_ALIASES.get(name, name)
    if name not in ("sync", "async", "gthread"):
        raise ValueError(_why_no_worker_class(name))
    return name


def _why_no_worker_class(name: str) -> str:
    for word, what in _CLASSES_ELSEWHERE.items():
        if word in name.lower():
            return f"this version has no such worker class: {what}"
    return "this version has the worker classes 'sync', 'async' and 'gthread'."


def _look(question: Callable[[Path], bool], path: str) -> bool:
    try:
        return question(Path(path))
    except OSError as error:
        raise ValueError(f"{shown(path)} can't be used: {error.strerror}.") from None


def check_folder(path: str) -> str:
    """An existing folder; a relative path counts from the folder the server was started in."""
    if not _look(Path.is_dir, path):
        raise ValueError(f"{path!r} is not a folder.")
    return str(Path(path).absolute())


def check_chdir(path: str) -> str:
    try:
        is_folder = Path(path).is_dir()
    except PermissionError:  # told on entering, which for the default need not come to pass
        return path
    except OSError as error:
        raise ValueError(f"can't chdir to {shown(path)}: {error.strerror}.") from None
    if not is_folder:
        raise ValueError(f"can't chdir to {path!r}.")
    return path


def check_extra_files(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Files that exist, and globs, which need not match anything yet."""
    for path in paths:
        if not any(c in path for c in "*?[") and not _look(Path.exists, path):
            raise ValueError(f"{shown(path)} doesn't exist.")
    return paths


def check_addresses(items: tuple[str, ...]) -> tuple[str, ...]:
    """A list for server/base/cidr.h."""
    for item in items:
        if not item.isascii() or len(item) > _ADDRESS_MAX:
            raise ValueError(f"{shown(item)} is not an IP address or a network.")
    _cgunicorn.check_allow(",".join(items))
    return items


def check_environment(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if not item.partition("=")[0] or "=" not in item:
            raise ValueError(f"environment setting {shown(item)} invalid, it must be NAME=VALUE.")
    return items


def check_statsd(address: str) -> str:
    """HOST, HOST:PORT or unix://PATH."""
    host, colon, port = address.rpartition(":")
    is_path = address.startswith("unix://") and len(address) > len("unix://")
    is_port = not colon or port.endswith("]") or (bool(host) and _is_port(port))
    if not is_path and (not address or "/" in address or not is_port):
        raise ValueError("Value must be one of ('host:port', 'unix://PATH').")
    return address


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def check_syslog(address: str) -> str:
    parse_syslog(address)
    return address


def parse_syslog(text: str) -> tuple[str | tuple[str, int], socket.SocketKind | None]:
    """Where to connect to, and by which kind of socket: by any that works there, if None."""
    scheme, _, rest = text.partition("://")
    if scheme == "unix":
        path, _, word = rest.partition("#")
        kinds = {"": None, "dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}
        if word not in kinds:
            raise ValueError("it ends neither in #dgram nor in #stream.")
        return path, kinds[word]
    if scheme not in ("udp", "tcp") or not rest:
        raise ValueError("it must be unix://PATH, udp://HOST:PORT or tcp://HOST:PORT.")
    host, colon, port = rest.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = rest, "514"
    if not _is_port(port):
        raise ValueError(f"it has no valid port number: {port!r}.")
    kind = socket.SOCK_STREAM if scheme == "tcp" else socket.SOCK_DGRAM
    return (host.strip("[]").lower() or "localhost", int(port)), kind


def check_no_tls(value: Any) -> Any:
    if value:
        raise ValueError(_NO_TLS)
    return value


def check_arity(*counts: int) -> Callable[[Any], Any]:
    """A check that a function can be called with one of so many arguments. The last count is the
    one that Gunicorn names in its message."""

    def check(function: Callable[..., object]) -> Callable[..., object]:
        if not any(takes(function, n) for n in counts):
            raise ValueError(f"Value must have an arity of: {counts[-1]}")
        return function

    return check


def takes(function: Callable[..., object], n: int) -> bool:
    """Whether a function can be called with n arguments. One that does not say, such as many that
    are written in C, is believed to."""
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(n))
    except TypeError:
        return False
    return True
