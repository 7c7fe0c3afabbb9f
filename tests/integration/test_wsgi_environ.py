# SPDX-License-Identifier: MIT
"""PEP 3333 against the running server: environ, and what hangs on it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest
from harness import Client, Server, answer

Serve = Callable[..., Server]

#: Answers with its environ as JSON; values that JSON does not know are shown by their type's name.
ECHO = """
import json

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    shown = {
        k: v if isinstance(v, (str, bool, int, tuple)) else type(v).__name__
        for k, v in environ.items()
    }
    shown["_types"] = {k: type(v).__name__ for k, v in environ.items()}
    shown["_body"] = body.decode("latin-1")
    data = json.dumps(shown).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [data]
"""


@pytest.fixture
def echo(serve: Serve, worker_class: str) -> Server:
    return serve(ECHO, "-k", worker_class)


def environ_of(server: Server, *fields: str, target: str = "/", **kwargs: object) -> dict:
    with server.connect() as client:
        client.send_request("GET", target, *fields, **kwargs)  # type: ignore[arg-type]
        response = client.response()
    assert response.status == 200, server.log
    return json.loads(response.body)


def test_environ_has_the_keys_and_types_of_the_pep(echo: Server) -> None:
    env = environ_of(echo, target="/a/b?x=1&y=%20")
    assert env["REQUEST_METHOD"] == "GET"
    assert env["SCRIPT_NAME"] == ""
    assert env["PATH_INFO"] == "/a/b"
    assert env["QUERY_STRING"] == "x=1&y=%20"
    assert env["RAW_URI"] == "/a/b?x=1&y=%20"
    assert env["SERVER_NAME"] == "127.0.0.1"
    assert env["SERVER_PORT"] == str(echo.port)
    assert env["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert env["SERVER_SOFTWARE"].startswith("cgunicorn/")
    assert env["REMOTE_ADDR"] == "127.0.0.1"
    assert env["REMOTE_PORT"].isdigit()
    assert env["HTTP_HOST"] == "test.example"
    assert env["wsgi.version"] == [1, 0]
    assert env["wsgi.url_scheme"] == "http"
    assert env["wsgi.run_once"] is False
    assert env["wsgi.multiprocess"] is False
    assert env["wsgi.input_terminated"] is True
    assert env["_types"]["wsgi.file_wrapper"] in ("type", "builtin_function_or_method")
    assert "CONTENT_LENGTH" not in env and "CONTENT_TYPE" not in env
    natives = [k for k in env["_types"] if k.isupper()]
    assert {env["_types"][k] for k in natives} == {"str"}


def test_environ_is_a_fresh_builtin_dict_each_time(serve: Serve, worker_class: str) -> None:
    server = serve(
        """
        def app(environ, start_response):
            seen = "leak" in environ
            environ["leak"] = True
            environ["wsgi.version"] = "changed"
            start_response("200 OK", [])
            return [f"{type(environ) is dict} {seen}".encode()]
        """.replace("\n        ", "\n"),
        "-k",
        worker_class,
    )
    assert [server.get().body for _ in range(3)] == [b"True False"] * 3


def test_multiprocess_is_told(serve: Serve) -> None:
    assert environ_of(serve(ECHO, "-w", "2"))["wsgi.multiprocess"] is True


def test_path_is_decoded_to_latin1_and_raw_uri_is_not(echo: Server) -> None:
    env = environ_of(echo, target="/caf%C3%A9/%2F/a%zz?q=%C3")
    assert env["PATH_INFO"] == "/caf\u00c3\u00a9///a%zz"
    assert env["RAW_URI"] == "/caf%C3%A9/%2F/a%zz?q=%C3"
    assert env["QUERY_STRING"] == "q=%C3"


def test_raw_non_ascii_target_is_not_encoded_twice(echo: Server) -> None:
    with echo.connect() as client:
        client.send(b"GET /caf\xc3\xa9?\xff HTTP/1.1\r\nHost: a\r\n\r\n")
        env = json.loads(client.response().body)
    assert env["PATH_INFO"] == "/caf\u00c3\u00a9"
    assert env["QUERY_STRING"] == "\u00ff"
    assert env["RAW_URI"] == "/caf\u00c3\u00a9?\u00ff"


def test_header_values_are_latin1_strings(echo: Server) -> None:
    assert environ_of(echo, "X-Name: caf\u00e9")["HTTP_X_NAME"] == "caf\u00e9"


def test_repeated_headers_are_joined(echo: Server) -> None:
    env = environ_of(echo, "X-A: 1", "Cookie: a=1", "x-a: 2", "Cookie: b=2")
    assert env["HTTP_X_A"] == "1,2"
    assert env["HTTP_COOKIE"] == "a=1; b=2"


def test_underscore_twins_do_not_get_through(echo: Server) -> None:
    env = environ_of(echo, "X_Real_IP: 6.6.6.6", "Content_Length: 3")
    assert "HTTP_X_REAL_IP" not in env
    assert "CONTENT_LENGTH" not in env


def test_underscore_twin_of_content_length_changes_nothing(echo: Server) -> None:
    env = environ_of(echo, "Content_Length: 0", "Content_Type: text/evil", body=b"hello")
    assert (env["CONTENT_LENGTH"], env["_body"]) == ("5", "hello")
    assert "CONTENT_TYPE" not in env
    assert not {"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"} & env.keys()


def test_chunked_body_is_announced_decoded_with_its_length(echo: Server) -> None:
    with echo.connect() as client:
        client.send_request("POST", "/", "Transfer-Encoding: chunked")
        client.send(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
        env = json.loads(client.response().body)
    assert (env["CONTENT_LENGTH"], env["_body"]) == ("6", "hello!")
    assert "HTTP_TRANSFER_ENCODING" not in env and env["wsgi.input_terminated"] is True


def test_cgi_variables_of_a_body_have_no_http_twins(echo: Server) -> None:
    env = environ_of(echo, "Content-Type: text/x", body=b"hello")
    assert (env["CONTENT_TYPE"], env["CONTENT_LENGTH"]) == ("text/x", "5")
    assert "HTTP_CONTENT_TYPE" not in env and "HTTP_CONTENT_LENGTH" not in env
    assert env["_body"] == "hello"


def test_unix_socket_environ(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, bind=["unix:app.sock", "127.0.0.1:0"])
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(server.directory / "app.sock"))
    with Client(sock) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: site.example:8080\r\n\r\n")
        env = json.loads(client.response().body)
    assert env["REMOTE_ADDR"] == "" and "REMOTE_PORT" not in env
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == ("site.example", "8080")


def test_errors_stream_goes_to_the_error_log(serve: Serve, worker_class: str) -> None:
    _, server = answer(
        serve,
        worker_class,
        'e = environ["wsgi.errors"]\ne.write("said so\\n")\n'
        'e.writelines(["a", "b\\n"])\ne.flush()\n'
        'start_response("200 OK", [])\nreturn []',
    )
    server.wait_log("said so\nab\n")


def test_socket_is_reachable(serve: Serve, worker_class: str) -> None:
    r, _ = answer(
        serve,
        worker_class,
        'peer = environ["gunicorn.socket"].getpeername()\nstart_response("200 OK", [])\n'
        "return [f\"{peer[0]}:{peer[1]} {environ['REMOTE_PORT']}\".encode()]",
    )
    address, port = r.body.decode().split()
    assert address == f"127.0.0.1:{port}"


def test_wsgiref_validator_finds_nothing(serve: Serve, worker_class: str) -> None:
    app = """
from wsgiref.validate import validator

@validator
def app(environ, start_response):
    data = environ["wsgi.input"].read(100)
    environ["wsgi.errors"].write("")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"got ", data]
"""
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("POST", "/x?y=1", body=b"hello")
        assert client.response().body == b"got hello", server.log
    assert server.get().status == 200
    assert "AssertionError" not in server.log
