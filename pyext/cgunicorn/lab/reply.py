# SPDX-License-Identifier: MIT
"""Finds the end of a response to a GET in the bytes of a connection (RFC 9112 section 6.3). What
the response says is counted by nobody and kept nowhere."""

from __future__ import annotations

import re

_HEAD_BYTES_MAX = 65536
_LINE_BYTES_MAX = 4096

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n|$)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)
_KEEP = re.compile(rb"\r\nconnection:[^\r]*keep-alive", re.IGNORECASE)


class ReplyError(Exception):
    """What came is no response."""


class Reply:
    """One response as it arrives. `keeps_open` is right once it is whole."""

    __slots__ = ("_chunked", "_left_n", "_pending", "_trailers", "keeps_open", "status")

    def __init__(self) -> None:
        self.status = 0
        self.keeps_open = False
        self._pending = b""  # of the head, or of a line between chunks
        self._left_n: int | None = None  # bytes to come; None: until the connection ends
        self._chunked = self._trailers = False

    def feed(self, data: bytes) -> bool:
        """Takes what was read; True when the response is whole. ReplyError."""
        if not self.status:
            data = self._pending + data
            head_n = data.find(b"\r\n\r\n")
            if head_n < 0:
                self._keep(data, _HEAD_BYTES_MAX)
                return False
            self._pending = b""
            self._read_head(data[:head_n])
            data = data[head_n + 4 :]
            if self.status < 200:
                self.status = 0  # an interim response: the real one follows
                return bool(data) and self.feed(data)
        return self._feed_chunked(data) if self._chunked else self._feed_body(data)

    def end(self) -> bool:
        """The connection has ended; True when the response has, too."""
        return bool(self.status) and not self._chunked and self._left_n is None

    def _read_head(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if not status:
            raise ReplyError(f"this is no HTTP response: {head[:40]!r}")
        self.status = int(status[2])
        self.keeps_open = not _CLOSE.search(head) and (
            status[1] == b"1" or bool(_KEEP.search(head))
        )
        if self.status in (204, 304):
            self._left_n = 0
        elif _CHUNKED.search(head):
            self._chunked, self._left_n = True, 0
        elif length := _LENGTH.search(head):
            self._left_n = int(length[1])
        else:
            self.keeps_open = False

    def _feed_body(self, data: bytes) -> bool:
        if self._left_n is None:
            return False
        self._left_n -= len(data)
        if self._left_n < 0:
            raise ReplyError("there are bytes behind the response")
        return self._left_n == 0

    def _feed_chunked(self, data: bytes) -> bool:
        """`_left_n` counts a chunk and the line end behind it."""
        data = self._pending + data
        while True:
            taken_n = min(self._left_n or 0, len(data))
            self._left_n = (self._left_n or 0) - taken_n
            line, found, rest = data[taken_n:].partition(b"\r\n")
            if not found:
                self._keep(line if not self._left_n else b"", _LINE_BYTES_MAX)
                return False
            data = rest
            if self._trailers:
                if not line:
                    return True
            elif size_n := _chunk_size(line):
                self._left_n = size_n + 2
            else:
                self._trailers = True

    def _keep(self, data: bytes, most: int) -> None:
        if len(data) > most:
            raise ReplyError("a line or the head of the response does not end")
        self._pending = data


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0], 16)
    except ValueError:
        raise ReplyError(f"this is no size of a chunk: {line[:40]!r}") from None
