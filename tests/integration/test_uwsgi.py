# SPDX-License-Identifier: MIT
"""The uwsgi protocol with packets made by hand: what the application sees, who may send packets,
and what becomes of mistakes. tests/deploy/test_nginx_uwsgi.py has the same with a real nginx."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Client, Server, poll, run_command
from uwsgi import STOCK, packet, raw_packet

Serve = Callable[..., Server]

#: Answers with the environ's texts, the body, and the types that a framework relies on.
ECHO = """
import json

def app(environ, start_response):
    body = environ["wsgi.input"].read()
    seen = {k: v for k, v in environ.items() if isinstance(v, (str, bool))}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"environ": seen, "body": body.decode("latin-1")}).encode()]
"""


def ask(client: Client, data: bytes) -> dict:
    with client:
        client.send(data)
        response = client.response()
        assert response.status == 200
        assert client.at_end()
    return json.loads(response.body)


def environ_of(serve: Serve, worker_class: str, data: bytes, *args: str) -> dict:
    server = serve(ECHO, "-k", worker_class, *args)
    return ask(server.connect(), data)["environ"]


def test_the_application_sees_what_nginx_says(serve: Serve, worker_class: str) -> None:
    environ = environ_of(
        serve,
        worker_class,
        packet(
            ("HTTP_X_ID", "7"),
            ("REMOTE_USER", "ann"),
            ("my_var", "v"),
            REQUEST_URI="/a%20b?x=1",
            PATH_INFO="/a b",
            QUERY_STRING="x=1",
        ),
    )
    assert {k: environ[k] for k in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING")} == {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/a b",
        "QUERY_STRING": "x=1",
    }
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%20b?x=1"
    assert environ["SCRIPT_NAME"] == ""
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("site.example", "8080")
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("203.0.113.5", "4711")
    assert (environ["HTTP_X_ID"], environ["REMOTE_USER"], environ["my_var"]) == ("7", "ann", "v")
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["DOCUMENT_ROOT"] == STOCK["DOCUMENT_ROOT"]


def test_empty_content_variables_are_left_out(serve: Serve, worker_class: str) -> None:
    environ = environ_of(serve, worker_class, packet())
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_CONTENT_TYPE"} & set(environ)


def test_a_path_is_not_decoded_again(serve: Serve, worker_class: str) -> None:
    path = "/%41\xc3\xa9"
    environ = environ_of(serve, worker_class, packet(REQUEST_URI="/%2541%C3%A9", PATH_INFO=path))
    assert environ["PATH_INFO"] == path


def test_repeated_headers_are_joined(serve: Serve, worker_class: str) -> None:
    environ = environ_of(
        serve,
        worker_class,
        packet(
            ("HTTP_COOKIE", "a=1"),
            ("HTTP_COOKIE", "b=2"),
            ("HTTP_X_DUP", "1"),
            ("HTTP_X_DUP", "2"),
        ),
    )
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["HTTP_X_DUP"] == "1, 2"


def test_a_body_that_nginx_has_dechunked_is_read_whole(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class)
    seen = ask(
        server.connect(),
        packet(
            ("HTTP_TRANSFER_ENCODING", "chunked"),
            ("HTTP_CONTENT_LENGTH", "6"),
            REQUEST_METHOD="POST",
            body=b"chunky",
        ),
    )
    assert seen["body"] == "chunky"
    assert seen["environ"]["CONTENT_LENGTH"] == "6"
    assert seen["environ"]["wsgi.input_terminated"] is True
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH"} & set(seen["environ"])


@pytest.mark.parametrize(
    ("more", "scheme"),
    [
        ({"REQUEST_SCHEME": "https"}, "https"),
        ({"HTTPS": "on"}, "https"),
        ({"HTTPS": "1"}, "https"),
        ({"HTTPS": "off"}, "http"),
        ({"UWSGI_SCHEME": "https"}, "https"),
        ({"UWSGI_SCHEME": "http", "HTTPS": "on"}, "http"),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, "http"),
        ({"HTTP_X_FORWARDED_PROTO": "https", "REQUEST_SCHEME": ""}, "https"),
    ],
)
def test_the_scheme_is_the_proxys_word(serve: Serve, more: dict[str, str], scheme: str) -> None:
    assert environ_of(serve, "sync", packet(**more))["wsgi.url_scheme"] == scheme


def test_keys_of_the_server_cannot_be_set(serve: Serve, worker_class: str) -> None:
    environ = environ_of(
        serve,
        worker_class,
        packet(
            ("wsgi.url_scheme", "https"),
            ("wsgi.input_terminated", "no"),
            ("cgunicorn.x", "y"),
            ("SERVER_SOFTWARE", "other"),
            ("RAW_URI", "/other"),
            ("UWSGI_FILE", "/etc/passwd"),
            ("UWSGI_SETENV", "A=b"),
        ),
    )
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.input_terminated"] is True
    assert environ["SERVER_SOFTWARE"].startswith("cgunicorn/")
    assert environ["RAW_URI"] == "/"
    assert not {"cgunicorn.x", "UWSGI_FILE", "UWSGI_SETENV"} & set(environ)


def test_script_name_is_passed_on_and_modifier_30_takes_it_off_the_path(serve: Serve) -> None:
    server = serve(ECHO)
    mounted = {"SCRIPT_NAME": "/app", "PATH_INFO": "/app/x", "REQUEST_URI": "/app/x"}
    for modifier1, path in ((0, "/app/x"), (30, "/x")):
        environ = ask(server.connect(), packet(modifier1=modifier1, **mounted))["environ"]
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path)


def test_a_missing_server_name_is_found(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class)
    environ = ask(server.connect(), packet(SERVER_NAME=""))["environ"]
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("site.example", "8080")
    bare = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/x?y")]
    environ = ask(server.connect(), raw_packet(bare))["environ"]
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/x", "y")
    assert "HTTP_HOST" not in environ


def test_a_unix_socket_takes_packets_of_everybody(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "--uwsgi-allow-from", "", bind="unix:x.sock")
    assert ask(server.connect_unix("x.sock"), packet())["environ"]["REMOTE_ADDR"] == "203.0.113.5"


def test_others_than_allowed_are_refused_with_one_line(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "--uwsgi-allow-from", "192.0.2.0/24")
    with server.connect() as client:
        client.send(packet())
        assert client.response().status == 403
        assert client.at_end()
    assert server.get().status == 200
    server.wait_log("uwsgi packet from outside uwsgi_allow_ips")
    assert server.log.count("uwsgi packet from outside uwsgi_allow_ips") == 1


def test_a_network_may_be_allowed(serve: Serve) -> None:
    server = serve(ECHO, "--uwsgi-allow-from", "127.0.0.0/8")
    assert ask(server.connect(), packet())["body"] == ""


def test_the_access_log_shows_the_client(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "--access-logfile", "-")
    ask(server.connect(), packet(("HTTP_USER_AGENT", "probe"), REQUEST_URI="/a%20b?x=1"))
    line = server.wait_log(r'(\S+) - - \[.*\] "(.*)" 200 \d+ "-" "probe"')
    assert line.groups() == ("203.0.113.5", "GET /a%20b?x=1 HTTP/1.1")


def test_a_request_is_logged_as_itself_whatever_came_before(
    serve: Serve, worker_class: str
) -> None:
    log = ("--access-logfile", "-", "--access-logformat", "line %(s)s")
    server = serve(ECHO, "-k", worker_class, *log)
    for n in range(1, 4):
        ask(server.connect(), packet())
        server.wait_log(r"(?m)^line \d+$", count=n)
    assert "line 499" not in server.log


def test_a_stream_is_never_chunked_and_ends_with_the_connection(
    serve: Serve, worker_class: str
) -> None:
    app = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    yield b"two"
"""
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send(packet())
        assert client.rest() == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nonetwo"


def test_a_slow_body_does_not_hold_the_worker(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class)
    data = packet(REQUEST_METHOD="POST", body=b"x" * 100)
    with server.connect() as slow:
        slow.send(data[:-50])
        assert ask(server.connect(), packet())["body"] == ""
        slow.send(data[-50:])
        assert json.loads(slow.response().body)["body"] == "x" * 100


def test_a_large_body_goes_to_a_file(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "--client-body-buffer-size", "1000")
    body = bytes(range(256)) * 4096
    assert ask(server.connect(), packet(REQUEST_METHOD="POST", body=body))["body"] == body.decode(
        "latin-1"
    )


def test_a_body_over_the_limit_is_refused_without_a_reset(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "--limit-request-body", "10")
    with server.connect() as client:
        client.send(packet(REQUEST_METHOD="POST", body=b"x" * 100_000))
        assert client.response().status == 413
        assert client.rest() == b""


@pytest.mark.parametrize("protocol", ["uwsgi", "auto"])
def test_an_empty_packet_is_closed_in_silence(serve: Serve, protocol: str) -> None:
    server = serve(ECHO, "--protocol", protocol, bind="unix:x.sock")
    with server.connect_unix("x.sock") as client:
        client.send(b"\0\0\0\0")
        assert client.rest() == b""
    assert "WARNING" not in server.log


@pytest.mark.parametrize(
    "data",
    [
        b"\0\x05\0\0\x06\0abc",
        b"\0\x04\0\0\0\0\0\0",
        b"\0\x01\0\0\x01",
        raw_packet([("A", "")] * 1001),
        packet(CONTENT_LENGTH="x"),
        packet(REQUEST_METHOD=""),
    ],
    ids=["beyond", "empty_key", "cut", "too_many", "length", "method"],
)
def test_a_bad_packet_is_refused_with_a_line(serve: Serve, worker_class: str, data: bytes) -> None:
    server = serve(ECHO, "-k", worker_class)
    with server.connect() as client:
        client.send(data)
        assert client.response().status == 400
        assert client.at_end()
    server.wait_log(r"WARNING\] Invalid request from ip=")
    assert server.get().status == 200


def test_http_on_a_socket_for_uwsgi_is_told_the_directive(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, bind="uwsgi:unix:x.sock")
    with server.connect_unix("x.sock") as client:
        client.send_request("GET")
        response = client.response()
    assert response.status == 400
    assert b"uwsgi_pass, not proxy_pass" in response.body
    server.wait_log(r"HTTP request on a socket that speaks uwsgi: .* uwsgi_pass, not proxy_pass")


def test_a_packet_on_a_socket_for_http_is_told_the_directive(
    serve: Serve, worker_class: str
) -> None:
    server = serve(ECHO, "-k", worker_class, "--protocol", "http")
    with server.connect() as client:
        client.send(packet())
        assert client.response().status == 400
    server.wait_log(r"uwsgi packet on a socket that speaks HTTP: .* proxy_pass, not uwsgi_pass")


def test_the_binds_prefix_goes_before_the_setting(serve: Serve) -> None:
    server = serve(
        ECHO,
        "--protocol",
        "uwsgi",
        bind=["http://127.0.0.1:0", "unix:x.sock", "uwsgi://127.0.0.1:0"],
    )
    line = server.wait_log(r"Listening at: (.*) \(").group(1)
    assert [name.rpartition(":")[0] for name in line.split(",")] == [
        "http://127.0.0.1",
        "uwsgi:unix",
        "uwsgi://127.0.0.1",
    ]
    assert server.get().status == 200
    assert ask(server.connect_unix("x.sock"), packet())["body"] == ""


def test_a_reload_may_change_the_protocol_of_a_socket(serve: Serve, tmp_path: Path) -> None:
    config = tmp_path / "gunicorn.conf.py"
    config.write_text("protocol = 'http'\n")
    server = serve(ECHO, bind="unix:x.sock")
    with server.connect_unix("x.sock") as client:
        client.send(packet())
        assert client.response().status == 400
    config.write_text("protocol = 'uwsgi'\n")
    old = server.wait_workers(1)
    server.send_signal(signal.SIGHUP)
    server.wait_log(r"Booting worker", count=2)
    poll(lambda: server.workers() and server.workers() != old, "new workers")
    poll(lambda: len(server.workers()) == 1, "one worker")
    assert ask(server.connect_unix("x.sock"), packet())["body"] == ""


def test_many_packets_at_once(serve: Serve, worker_class: str) -> None:
    server = serve(ECHO, "-k", worker_class, "-w", "2")
    failures = []

    def talk(n: int) -> None:
        for i in range(10):
            seen = ask(server.connect(), packet(PATH_INFO=f"/{n}/{i}"))
            if seen["environ"]["PATH_INFO"] != f"/{n}/{i}":
                failures.append(seen)

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--protocol", "fastcgi"], "it must be one of auto, http, uwsgi."),
        (["--uwsgi-allow-from", "nginx.example"], "nginx.example"),
    ],
)
def test_a_bad_setting_is_one_sentence(tmp_path: Path, args: list[str], words: str) -> None:
    (tmp_path / "app.py").write_text(ECHO)
    done = run_command(tmp_path, *args, "app:app")
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
