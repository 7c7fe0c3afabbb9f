# SPDX-License-Identifier: MIT
"""Flask behind a real nginx with `uwsgi_pass` and the uwsgi_params that nginx comes with."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from front import FLASK, Site
from harness import Server
from nginx import Nginx, stock_params

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(
    serve: Callable[..., Server], nginx: Callable[..., Nginx], tmp_path: Path, worker_class: str
) -> MakeSite:
    """A factory: make_site(directives, *args) for a location with these directives; at the end
    nginx must have had nothing to complain about."""

    def make(directives: str = "", *args: str, bind: str = "unix:app.sock") -> Site:
        server = serve(FLASK, "-k", worker_class, *args, bind=bind)
        port = server.wait_log(r"Listening at: \S+?(?::(\d+))? \(").group(1)
        target = f"127.0.0.1:{port}" if port else f"unix:{tmp_path}/app.sock"
        location = f"location / {{ {stock_params()} uwsgi_pass {target}; {directives} }}"
        return Site(nginx("client_max_body_size 100m;" + location), server)

    return make


@pytest.mark.parametrize("bind", ["unix:app.sock", "uwsgi:unix:app.sock", "uwsgi://127.0.0.1:0"])
def test_flask_is_served(make_site: MakeSite, bind: str) -> None:
    site = make_site("", bind=bind)
    environ = site.environ("/a%20b%C3%A9?x=1", "User-Agent: probe")
    assert environ["PATH_INFO"] == "/a b\xc3\xa9"
    assert environ["RAW_URI"] == environ["REQUEST_URI"] == "/a%20b%C3%A9?x=1"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["SERVER_PORT"] == str(site.nginx.port)
    assert environ["HTTP_USER_AGENT"] == "probe"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SCRIPT_NAME"] == ""
    assert not {"CONTENT_TYPE", "CONTENT_LENGTH"} & set(environ)
    assert not site.nginx.complaints()


def test_nginx_says_who_serves_and_when(make_site: MakeSite) -> None:
    response = make_site().ask("GET", "/environ")
    assert response.field(
        "server",
    ).startswith("nginx")  # type: ignore[union-attr]
    assert response.field("date")
    assert response.field("content-length") == str(len(response.body))


def test_cookies_of_5_kilobytes_pass(make_site: MakeSite) -> None:
    value = "c" * 5000
    response = make_site().ask("GET", "/cookies", f"Cookie: big={value}")
    assert json.loads(response.body) == {"big": value}


def test_repeated_headers_are_joined(make_site: MakeSite) -> None:
    site = make_site()
    environ = site.environ("/environ", "X-Dup: 1", "X-Dup: 2", "Cookie: a=1", "Cookie: b=2")
    assert environ["HTTP_X_DUP"] == "1, 2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_parameters_of_ones_own_are_in_the_environ(make_site: MakeSite) -> None:
    site = make_site(
        "uwsgi_param REMOTE_USER ann; uwsgi_param MY_VAR v; uwsgi_param HTTP_HOST $http_host;"
        "uwsgi_param UWSGI_FILE /etc/passwd; uwsgi_param wsgi.url_scheme https;"
    )
    environ = site.environ()
    assert (environ["REMOTE_USER"], environ["MY_VAR"]) == ("ann", "v")
    assert environ["HTTP_HOST"] == "test.example"
    assert environ["wsgi.url_scheme"] == "http"
    assert "UWSGI_FILE" not in environ


def test_a_header_cannot_become_another_key(make_site: MakeSite) -> None:
    environ = make_site().environ(
        "/environ", "Remote-User: eve", "wsgi.url-scheme: https", "Content_Length: 5"
    )
    assert "REMOTE_USER" not in environ
    assert environ["wsgi.url_scheme"] == "http"
    assert "CONTENT_LENGTH" not in environ


def test_the_scheme_may_be_said_by_a_parameter(make_site: MakeSite) -> None:
    site = make_site("uwsgi_param UWSGI_SCHEME $http_x_forwarded_proto;")
    assert site.environ("/environ", "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "https"
    assert site.environ()["wsgi.url_scheme"] == "http"


def test_modifier_30_mounts_the_application(make_site: MakeSite) -> None:
    site = make_site("uwsgi_modifier1 30; uwsgi_param SCRIPT_NAME /app;")
    environ = site.environ("/app/environ")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/environ")


def test_a_server_without_a_name_takes_the_hosts(make_site: MakeSite) -> None:
    site = make_site('uwsgi_param SERVER_NAME "";')
    assert site.environ()["SERVER_NAME"] in ("test.example", "127.0.0.1")


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_chunked_upload_arrives_whole(make_site: MakeSite, buffering: str) -> None:
    site = make_site(f"uwsgi_request_buffering {buffering};")
    with site.nginx.connect() as client:
        client.send_request("POST", "/digest", "Transfer-Encoding: chunked")
        client.send(b"6\r\nchunky\r\n4\r\nbody\r\n0\r\n\r\n")
        seen = json.loads(client.response().body)
    assert seen == {"length": 10, "sha": hashlib.sha256(b"chunkybody").hexdigest()}


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_large_upload_arrives_whole(make_site: MakeSite, buffering: str) -> None:
    site = make_site(f"uwsgi_request_buffering {buffering};", "--client-body-buffer-size", "65536")
    body = bytes(range(256)) * (1 << 14)
    seen = json.loads(site.ask("POST", "/digest", body=body).body)
    assert seen == {"length": len(body), "sha": hashlib.sha256(body).hexdigest()}
    assert not site.nginx.complaints()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_body_that_nobody_reads_does_no_harm(make_site: MakeSite, buffering: str) -> None:
    site = make_site(f"uwsgi_request_buffering {buffering};")
    for _ in range(5):
        response = site.ask("POST", "/unread", body=b"x" * 3_000_000)
        assert (response.status, response.body) == (200, b"not read")
    assert not site.nginx.complaints()


def test_a_refused_body_is_answered(make_site: MakeSite) -> None:
    site = make_site("", "--limit-request-body", "1000")
    assert site.ask("POST", "/unread", body=b"x" * 200_000).status == 413
    assert "readv() failed" not in site.nginx.errors


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_stream_without_a_length_arrives_as_it_is(make_site: MakeSite, buffering: str) -> None:
    response = make_site(f"uwsgi_buffering {buffering};").ask("GET", "/stream")
    assert response.body == b"".join(b"line %d\n" % n for n in range(1000))
    assert response.field("content-length") is None


def test_a_large_download_arrives_whole(make_site: MakeSite) -> None:
    site = make_site()
    assert site.ask("GET", "/large").body == b"0123456789abcdef" * (1 << 18)
    assert not site.nginx.complaints()


def test_head_and_204_have_no_body(make_site: MakeSite) -> None:
    site = make_site()
    assert site.ask("HEAD", "/environ").status == 200
    assert site.ask("GET", "/empty").status == 204
    assert not site.nginx.complaints()


def test_a_client_that_leaves_ends_the_response(make_site: MakeSite) -> None:
    site = make_site("uwsgi_buffering off;")
    with site.nginx.connect() as client:
        client.send_request("GET", "/endless")
        assert client.head().status == 200
    site.server.wait_log("ENDLESS CLOSED")
    assert site.ask("GET", "/empty").status == 204


def test_a_slow_upload_does_not_hold_the_worker(make_site: MakeSite) -> None:
    site = make_site("uwsgi_request_buffering off;")
    with site.nginx.connect() as slow:
        slow.send_request("POST", "/digest", "Content-Length: 6")
        slow.send(b"abc")
        assert site.ask("GET", "/empty").status == 204
        slow.send(b"def")
        assert json.loads(slow.response().body)["length"] == 6


def test_many_requests_at_once(make_site: MakeSite) -> None:
    site = make_site("", "-w", "2")
    seen: list[bytes] = []

    def talk(n: int) -> None:
        for i in range(5):
            response = site.ask("GET", f"/slow?n={n}-{i}")
            seen.append(response.body if response.status == 200 else b"failed")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"{n}-{i}".encode() for n in range(16) for i in range(5))
    assert not site.nginx.complaints()


def test_the_log_shows_the_client_and_its_request(make_site: MakeSite) -> None:
    site = make_site("", "--access-logfile", "-")
    site.ask("GET", "/environ?x=1", "User-Agent: probe")
    site.server.wait_log(
        r'127\.0\.0\.1 - - \[.*\] "GET /environ\?x=1 HTTP/1.1" 200 \d+ "-" "probe"'
    )


def test_proxy_pass_to_a_socket_for_uwsgi_is_told_the_directive(
    serve: Callable[..., Server], nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    server = serve(FLASK, bind="uwsgi:unix:app.sock")
    site = Site(nginx(f"location / {{ proxy_pass http://unix:{tmp_path}/app.sock; }}"), server)
    response = site.ask("GET", "/environ")
    assert response.status == 400
    assert b"uwsgi_pass, not proxy_pass" in response.body
    server.wait_log("uwsgi_pass, not proxy_pass")


def test_uwsgi_pass_to_a_socket_for_http_is_told_the_directive(make_site: MakeSite) -> None:
    site = make_site("", "--protocol", "http")
    response = site.ask("GET", "/environ")
    assert response.status == 400
    site.server.wait_log("proxy_pass, not uwsgi_pass")


def test_one_socket_serves_both_directives(
    serve: Callable[..., Server], nginx: Callable[..., Nginx], tmp_path: Path, worker_class: str
) -> None:
    server = serve(FLASK, "-k", worker_class, bind="unix:app.sock")
    socket = f"unix:{tmp_path}/app.sock"
    site = Site(
        nginx(
            f"location = /environ {{ {stock_params()} uwsgi_pass {socket}; }}"
            f"location / {{ proxy_pass http://{socket}; }}"
        ),
        server,
    )
    assert site.environ()["DOCUMENT_ROOT"]
    assert site.ask("GET", "/empty").status == 204
