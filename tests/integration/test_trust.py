# SPDX-License-Identifier: MIT
"""Whom the server believes what: proxies and their headers, names that look alike in the environ,
and the forms of requests that only settings permit."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import PATIENCE, Client, Response, Server

Serve = Callable[..., Server]
Start = Callable[..., Server]

#: Answers with its environ as JSON, without what is no string.
ECHO = """
import json

def app(environ, start_response):
    shown = {k: v for k, v in environ.items() if isinstance(v, str)}
    shown["_body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(shown).encode()]
"""

#: For a client that is not one of the server's proxies. The tests come from 127.0.0.1.
UNTRUSTED = ("--forwarded-allow-ips", "10.0.0.0/8,::1")


@pytest.fixture
def start(serve: Serve, worker_class: str) -> Start:
    """serve() with the echoing application and the worker class; the arguments are the server's."""

    def start_echo(*args: str, **options: object) -> Server:
        return serve(ECHO, "-k", worker_class, *args, **options)

    return start_echo


def environ(response: Response) -> dict[str, str]:
    assert response.status == 200, response
    return json.loads(response.body)


def ask(server: Server, *fields: str, target: str = "/") -> dict[str, str]:
    return environ(server.get(target, *fields))


def ask_unix(server: Server, request: bytes) -> dict[str, str]:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(server.directory / "app.sock"))
    with Client(sock) as client:
        client.send(request)
        return environ(client.response())


# Names with an underscore.

SPOOFS = (
    "X_Forwarded_Proto: https",
    "X-Forwarded_For: 6.6.6.6",
    "Remote_User: root",
    "_: x",
    "Proxy_Authorization: x",
    "Script_Name_: /x",
    "Content_Length: 7",
    "Transfer_Encoding: chunked",
)


@pytest.mark.parametrize("args", [(), UNTRUSTED], ids=["trusted", "untrusted"])
def test_spoofed_twins_never_get_through(start: Start, args: tuple[str, ...]) -> None:
    server = start(*args)
    plain = ask(server)
    spoofed = ask(server, *SPOOFS)
    for env in (plain, spoofed):
        env.pop("REMOTE_PORT")
    assert spoofed == plain


def test_the_real_header_beside_its_twin_stays_alone(start: Start) -> None:
    env = ask(start(), "X-Real-IP: 192.0.2.1", "X_Real_IP: 6.6.6.6", "X-Real_IP: 6.6.6.6")
    assert env["HTTP_X_REAL_IP"] == "192.0.2.1"


def test_forwarder_headers_of_an_untrusted_peer_are_dropped(start: Start) -> None:
    env = ask(start(*UNTRUSTED), "SCRIPT_NAME: /app", "PATH_INFO: /x", target="/app/x")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("", "/app/x")
    assert "HTTP_SCRIPT_NAME" not in env and "HTTP_PATH_INFO" not in env


def test_forwarder_headers_of_a_proxy_are_kept(start: Start) -> None:
    server = start("--forwarder-headers", "Remote_User,SSL_CLIENT")
    env = ask(server, "REMOTE_USER: ann", "ssl_client: cn", "PATH_INFO: /x")
    assert (env["HTTP_REMOTE_USER"], env["HTTP_SSL_CLIENT"]) == ("ann", "cn")
    assert "HTTP_PATH_INFO" not in env and "REMOTE_USER" not in env


def test_every_header_of_a_proxy_is_kept_with_an_asterisk(start: Start) -> None:
    assert ask(start("--forwarder-headers", "*"), "A_B: 1")["HTTP_A_B"] == "1"


def test_header_map_refuse(start: Start) -> None:
    server = start("--header-map", "refuse")
    assert server.get("/", "A_B: 1").status == 400
    server.wait_log("Invalid request from ip=127.0.0.1: Invalid header name")
    assert ask(server, "SCRIPT_NAME: /app", target="/app")["HTTP_SCRIPT_NAME"] == "/app"


def test_header_map_dangerous_joins_the_twins(start: Start) -> None:
    env = ask(start("--header-map", "dangerous", *UNTRUSTED), "A-B: 1", "A_B: 2", "SCRIPT_NAME: /")
    assert env["HTTP_A_B"] == "1,2"
    assert (env["SCRIPT_NAME"], env["HTTP_SCRIPT_NAME"]) == ("", "/")


# The scheme.


def test_proxy_says_the_scheme(start: Start) -> None:
    server = start()
    assert ask(server)["wsgi.url_scheme"] == "http"
    assert ask(server, "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "https"
    assert ask(server, "X-Forwarded-Protocol: ssl")["wsgi.url_scheme"] == "https"
    assert ask(server, "X-Forwarded-Ssl: on")["wsgi.url_scheme"] == "https"
    for value in ("http", "HTTPS", "https,http", "https, https", ""):
        assert ask(server, f"X-Forwarded-Proto: {value}")["wsgi.url_scheme"] == "http"


def test_scheme_is_for_one_request(start: Start) -> None:
    with start("--keep-alive", "5").connect() as client:
        for field, scheme in (("X-Forwarded-Ssl: on", "https"), ("A: b", "http")):
            client.send_request("GET", "/", field)
            assert environ(client.response())["wsgi.url_scheme"] == scheme


def test_contradictory_scheme_headers_are_refused(start: Start) -> None:
    server = start()
    response = server.get("/", "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")
    assert response.status == 400
    assert b"Contradictory scheme headers" in response.body
    assert server.get("/", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http").status == 400


def test_scheme_headers_of_others_have_no_influence(start: Start) -> None:
    env = ask(start(*UNTRUSTED), "X-Forwarded-Proto: https", "X-Forwarded-Ssl: off")
    assert env["wsgi.url_scheme"] == "http"
    assert env["HTTP_X_FORWARDED_PROTO"] == "https"


def test_scheme_headers_are_a_setting(start: Start, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text('secure_scheme_headers = {"X-Scheme": "tls:1"}')
    server = start()
    assert ask(server, "X-Scheme: tls:1")["wsgi.url_scheme"] == "https"
    assert ask(server, "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "http"


# Who is trusted.


@pytest.mark.parametrize(
    ("allow", "scheme"),
    [
        ("127.0.0.1", "https"),
        ("10.0.0.0/8, 127.0.0.0/8", "https"),
        ("::ffff:127.0.0.1", "https"),
        ("0.0.0.0/0", "https"),
        ("*", "https"),
        ("", "http"),
        ("127.0.0.2", "http"),
        ("::/0", "http"),
    ],
)
def test_proxies_are_addresses_and_networks(start: Start, allow: str, scheme: str) -> None:
    server = start("--forwarded-allow-ips", allow)
    assert ask(server, "X-Forwarded-Proto: https")["wsgi.url_scheme"] == scheme


def test_ipv4_proxy_is_the_same_through_an_ipv6_listener(start: Start) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    server = start("--forwarded-allow-ips", "127.0.0.0/8", bind="[::]:0")
    server.port = int(server.wait_log(r"Listening at: http://\[::\]:(\d+)").group(1))
    assert ask(server, "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "https"


def test_environment_variable_names_the_proxies(start: Start) -> None:
    server = start(env={"FORWARDED_ALLOW_IPS": "192.0.2.1"})
    assert ask(server, "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "http"


def test_unix_peers_are_trusted(start: Start) -> None:
    server = start("--forwarded-allow-ips", "", bind=["unix:app.sock", "127.0.0.1:0"])
    request = (
        b"GET /app/x HTTP/1.1\r\nHost: site.example%b\r\n"
        b"X-Forwarded-Proto: https\r\nSCRIPT_NAME: /app\r\n\r\n"
    )
    env = ask_unix(server, request % b"")
    assert (env["wsgi.url_scheme"], env["SERVER_PORT"]) == ("https", "443")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/app", "/x")
    assert ask_unix(server, request % b":8443")["SERVER_PORT"] == "8443"
    env = ask_unix(server, b"GET / HTTP/1.1\r\nHost: site.example\r\n\r\n")
    assert (env["wsgi.url_scheme"], env["SERVER_PORT"]) == ("http", "80")


# SCRIPT_NAME.


def test_script_name_of_a_proxy_mounts_the_application(start: Start) -> None:
    env = ask(start(), "SCRIPT_NAME: /app", target="/app/caf%C3%A9?q")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/app", "/caf\u00c3\u00a9")
    assert (env["RAW_URI"], env["HTTP_SCRIPT_NAME"]) == ("/app/caf%C3%A9?q", "/app")


def test_path_outside_of_script_name_is_500(start: Start) -> None:
    server = start()
    response = server.get("/foo", "SCRIPT_NAME: /bar")
    assert response.status == 500
    assert b"request path does not start with SCRIPT_NAME" in response.body
    server.wait_log(r"\[ERROR\] Configuration problem: request path does not start")
    assert "Traceback" not in server.log


def test_script_name_of_the_process(start: Start) -> None:
    server = start("-e", "SCRIPT_NAME=/env/")
    env = ask(server, target="/env/x")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/env", "/x")
    env = ask(server, "SCRIPT_NAME: /app", target="/app")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/app", "")
    assert server.get("/x").status == 500


# Forms that settings permit.


def raw(server: Server, request: bytes) -> Response:
    with server.connect() as client:
        client.send(request)
        return client.response()


FOLDED = b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: one\r\n\ttwo\r\n  three\r\nX-Next: n\r\n\r\n"
SPACED = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nxyz"
METHOD = b"-blargh /foo HTTP/1.1\r\nHost: a\r\n\r\n"
LOWER = b"head / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
VERSION = b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"


def test_unusual_forms_are_refused_by_default(start: Start) -> None:
    server = start()
    statuses = [raw(server, r).status for r in (FOLDED, SPACED, METHOD, LOWER, VERSION)]
    assert statuses == [400, 400, 400, 400, 505]


def test_folded_headers_where_permitted(start: Start) -> None:
    env = environ(raw(start("--permit-obsolete-folding"), FOLDED))
    assert (env["HTTP_X_LONG"], env["HTTP_X_NEXT"]) == ("one two three", "n")


def test_spaces_before_the_colon_where_permitted(start: Start) -> None:
    env = environ(raw(start("--strip-header-spaces"), SPACED))
    assert (env["CONTENT_LENGTH"], env["_body"]) == ("3", "xyz")


def test_any_method_where_permitted(start: Start) -> None:
    server = start("--permit-unconventional-http-method")
    assert environ(raw(server, METHOD))["REQUEST_METHOD"] == "-blargh"
    assert environ(raw(server, LOWER))["REQUEST_METHOD"] == "head"


def test_method_in_upper_case_where_asked_for(start: Start) -> None:
    server = start("--casefold-http-method", "--access-logfile", "-")
    with server.connect() as client:
        client.send(LOWER)
        assert client.response("HEAD").status == 200
        assert client.rest() == b""
    server.wait_log('"HEAD / HTTP/1.1" 200')


def test_other_versions_where_permitted(start: Start) -> None:
    server = start("--permit-unconventional-http-version")
    response = raw(server, VERSION)
    assert response.version == "HTTP/1.1"
    assert environ(response)["SERVER_PROTOCOL"] == "HTTP/1.2"
    assert raw(server, VERSION.replace(b"1.2", b"2.0")).version == "HTTP/1.1"
    assert raw(server, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n").status == 400
