# SPDX-License-Identifier: MIT
"""The request and the response as hooks and logger classes get them, with the attributes that
Gunicorn's have. An attribute is read out of the exchange when it is first asked for; one that is
kept after the end has read all of them. Both may be given attributes of one's own."""

from __future__ import annotations

from typing import Any


class _Message:
    #: What is read out of the exchange.
    _FIELDS: tuple[str, ...] = ()

    def __init__(self, view: Any) -> None:
        self.__dict__["_view"] = view

    def __getattr__(self, name: str) -> Any:
        """Called for what has not been read yet."""
        if name not in self._FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = getattr(self._view, name)
        self.__dict__[name] = value
        return value

    def settle(self) -> None:
        """Reads the rest: the exchange is about to end."""
        for name in self._FIELDS:
            getattr(self, name)


class Unreader:
    """Stands where Gunicorn has the reader of the connection. What was received is the server's;
    the socket is the one that is `gunicorn.socket` in the environ."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock


class Request(_Message):
    """
    method, uri, path, query, fragment   str; uri is the target as sent, path is not decoded
    version                              (1, 1)
    headers, trailers                    [(NAME, value)], names in upper case
    body                                 what is wsgi.input in the environ
    scheme                               "http" or "https"
    peer_addr, remote_addr               who connected, and who the client is: (host, port), or ""
    req_number                           which request of its connection it is, from 1
    proxy_protocol_info                  what a PROXY header said, as a dict, or None
    """

    _FIELDS = (
        "method",
        "uri",
        "path",
        "query",
        "fragment",
        "version",
        "headers",
        "trailers",
        "body",
        "scheme",
        "peer_addr",
        "remote_addr",
        "req_number",
        "proxy_protocol_info",
        "socket",
        "keep_alive",
    )

    @property
    def unreader(self) -> Unreader:
        return Unreader(self.socket)

    def should_close(self) -> bool:
        """Whether the client wants the connection closed after this request."""
        return not self.keep_alive


class Response(_Message):
    """
    status, status_code   "200 OK" and 200; None when start_response() was not called
    headers               [(name, value)] as the application gave them
    sent                  bytes of the body that were sent
    response_length       the Content-Length, or None
    headers_sent          whether the head has left
    chunked               whether the body is sent in chunks
    """

    _FIELDS = (
        "status",
        "status_code",
        "headers",
        "sent",
        "response_length",
        "headers_sent",
        "chunked",
        "keep_alive",
    )

    def should_close(self) -> bool:
        """Whether the connection is closed after this response."""
        return not self.keep_alive
