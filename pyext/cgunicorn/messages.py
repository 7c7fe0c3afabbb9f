# SPDX-License-Identifier: MIT
"""The request and the response as hooks and logger classes get them, with the attributes that
Gunicorn's have. An attribute is read out of the exchange when it is first asked for; one that is
kept after the end has read all of them. Both may be given attributes of one's own, and what
pre_request changes of a request reaches the application's environ."""

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


#: Attributes of a request that stand in the environ as they are.
_ENVIRON_KEYS = {
    "method": "REQUEST_METHOD",
    "uri": "RAW_URI",
    "query": "QUERY_STRING",
    "scheme": "wsgi.url_scheme",
}

#: How the body was sent is a fact; the environ says how it can be read.
_FRAMING = ("CONTENT-LENGTH", "TRANSFER-ENCODING")


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

    def change_environ(self, environ: dict[str, Any]) -> None:
        """Called by C after pre_request. ValueError for a path outside of SCRIPT_NAME."""
        for name, key in _ENVIRON_KEYS.items():
            if self._is_changed(name):
                environ[key] = getattr(self, name)
        if self._is_changed("path"):
            environ["PATH_INFO"] = _path_info(self.path, environ["SCRIPT_NAME"])
        if self._is_changed("headers"):
            for name, _ in self._view.headers:
                if name not in _FRAMING:
                    environ.pop(_header_key(name), None)
            environ.update(_joined(self.headers))

    def _is_changed(self, name: str) -> bool:
        """Another value was set, or a list that was handed out is not what it was."""
        return name in self.__dict__ and self.__dict__[name] != getattr(self._view, name)


def _path_info(path: str, script_name: str) -> str:
    if not path.startswith(script_name):
        raise ValueError(f"Request path {path!r} does not start with SCRIPT_NAME {script_name!r}")
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(path[len(script_name) :].encode("latin-1")).decode("latin-1")


def _header_key(name: str) -> str:
    key = name.upper().replace("-", "_")
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"


def _joined(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Environ keys and values; those of the same name are one value."""
    joined: dict[str, str] = {}
    for name, value in headers:
        if name.upper() in _FRAMING:
            continue
        key = _header_key(name)
        separator = "; " if key == "HTTP_COOKIE" else ","
        joined[key] = f"{joined[key]}{separator}{value}" if key in joined else value
    return joined


class Response(_Message):
    """
    status, status_code   "200 OK" and 200; None when start_response() was not called
    headers               [(name, value)] as the application gave them
    sent                  bytes of the body that were sent
    response_length       the Content-Length, or None
    headers_sent          whether the head has left
    chunked               whether the body is sent in chunks
    must_close            whether the connection is closed after it
    version               what Server says, unless the application says that
    """

    version = "gunicorn"
    upgrade = False

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
        return not self.keep_alive

    @property
    def must_close(self) -> bool:
        return self.should_close()

    def is_chunked(self) -> bool:
        return bool(self.chunked)
