# SPDX-License-Identifier: MIT
"""Linux's inotify, by ctypes, as far as the reloader needs it: that something has happened to a
name in one of several folders. Folders and not files, since editors replace files."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from collections.abc import Callable, Iterable

# From <sys/inotify.h>.
_IN_ATTRIB = 0x4
_IN_CLOSE_WRITE = 0x8
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_MOVE_SELF = 0x800
_IN_Q_OVERFLOW = 0x4000
_IN_IGNORED = 0x8000
_IN_ISDIR = 0x40000000
_IN_ONLYDIR = 0x01000000

_MASK = _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE | _IN_MOVE_SELF | _IN_ONLYDIR
_HEADER = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows
_BUFFER_BYTES = 64 * 1024


class Inotify:
    """A set of watched folders. OSError from all methods when the system gives no more."""

    def __init__(self) -> None:
        """OSError or AttributeError where there is no inotify."""
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._folders: dict[int, str] = {}  # by watch descriptor
        self._fd = self._check(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def close(self) -> None:
        os.close(self._fd)

    def watch(self, folders: Iterable[str]) -> bool:
        """These too; whether any is new. One that is gone or forbidden is left out."""
        known = set(self._folders.values())
        before_n = len(self._folders)
        for folder in folders:
            if folder in known:
                continue
            try:
                path = os.fsencode(folder)
                wd = self._check(self._libc.inotify_add_watch(self._fd, path, _MASK))
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue
            self._folders[wd] = folder
        return len(self._folders) > before_n

    def wait(self, timeout_s: float, counts: Callable[[str], bool]) -> bool:
        """Whether, before the time is over, something happened to a name that counts, or to a
        folder."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return False
        found = False
        data = os.read(self._fd, _BUFFER_BYTES)
        while data:
            wd, mask, _, length = _HEADER.unpack_from(data)
            end = _HEADER.size + length
            name = os.fsdecode(data[_HEADER.size : end].rstrip(b"\0"))
            data = data[end:]
            found = self._take(wd, mask) or counts(name) or found
        return found

    def _take(self, wd: int, mask: int) -> bool:
        """Whether an event counts whatever its name is."""
        if mask & _IN_IGNORED:
            self._folders.pop(wd, None)
        elif mask & _IN_MOVE_SELF:
            self._libc.inotify_rm_watch(self._fd, wd)  # its path is another's now
        return bool(mask & (_IN_IGNORED | _IN_MOVE_SELF | _IN_ISDIR | _IN_Q_OVERFLOW))

    def _check(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result
