# SPDX-License-Identifier: MIT
"""Handlers that send the lines of a logger to syslog."""

from __future__ import annotations

import gc
import logging
import os
import select
import socket
from logging.handlers import SocketHandler, SysLogHandler

from cgunicorn.config import Config
from cgunicorn.settings.checks import parse_syslog


def logs_to_syslog(cfg: Config, access: bool) -> bool:
    return bool(cfg.syslog and not (access and cfg.disable_redirect_access_to_syslog))


def syslog_handler(cfg: Config, fmt: str, name: str) -> logging.Handler:
    """Lines begin with gunicorn.PREFIX.NAME, the prefix being proc_name by default. ConfigError."""
    prefix = f"gunicorn.{cfg.syslog_prefix or cfg.proc_name.replace(':', '.')}.{name}"
    failure = ""
    try:
        handler = _connect(cfg.syslog_addr, SysLogHandler.facility_names[cfg.syslog_facility])
        # Python thinks that a unix socket will be there later, and prints a traceback for each line
        # until then.
        if isinstance(handler, SysLogHandler) and handler.socket.fileno() < 0:
            failure = "nobody listens there"
    except OSError as error:
        failure = error.strerror or str(error)
    if failure:
        gc.collect()  # a handler that has no socket: Python 3.9 would stumble over it at exit
        cfg.refuse("syslog_addr", f"can't log there: {failure}.")
    handler.setFormatter(logging.Formatter(f"{prefix}: {fmt}"))
    return handler


def _connect(text: str, facility: int) -> logging.Handler:
    """OSError, or a handler that may have no socket."""
    address, kind = parse_syslog(text)
    if isinstance(address, tuple) and kind == socket.SOCK_STREAM:
        return TcpHandler(address, facility)
    return SysLogHandler(address, facility, kind)


class TcpHandler(SocketHandler):
    """A line for each record, as syslog servers expect it of TCP (RFC 6587, 3.4.2); Python's own
    SysLogHandler separates them by NUL, which none does. Line breaks inside are written as #012.
    Each process has a connection of its own. One that has gone is made again; while nobody
    listens, or takes more, lines are lost, and a second of waiting is followed by a pause."""

    def __init__(self, address: tuple[str, int], facility: int) -> None:
        """OSError when nobody listens there."""
        super().__init__(*address)
        self._facility = facility
        self._owner = os.getpid()
        self.sock = self.makeSocket()

    def makePickle(self, record: logging.LogRecord) -> bytes:  # noqa: N802 - what Python calls
        """The bytes to send."""
        level = SysLogHandler.priority_map.get(record.levelname, "warning")
        priority = self._facility << 3 | SysLogHandler.priority_names[level]
        line = self.format(record).replace("\n", "#012")
        return f"<{priority}>{line}\n".encode("utf-8", "backslashreplace")

    def send(self, s: bytes) -> None:
        if self.sock and (self._owner != os.getpid() or _is_over(self.sock)):
            self.sock.close()
            self.sock = None
            self._owner = os.getpid()
        super().send(s)


def _is_over(sock: socket.socket) -> bool:
    """Whether the other side has closed, or has said something, which nobody would read."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
