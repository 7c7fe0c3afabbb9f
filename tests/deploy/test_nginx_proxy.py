# SPDX-License-Identifier: MIT
"""Flask behind a real nginx with `proxy_pass`: over TCP and a unix socket, with HTTP/1.0 as nginx
does by default and with connections that are used again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from front import FLASK, Site
from harness import PATIENCE, Client, Server, alive, children, poll
from load import Load
from nginx import Nginx

FORWARD = (
    "proxy_set_header Host $http_host;"
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    "proxy_set_header X-Forwarded-Proto $scheme;"
    "proxy_set_header X-Forwarded-Host $host;"
)
KEEP_ALIVE = 'proxy_http_version 1.1; proxy_set_header Connection "";'

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(
    serve: Callable[..., Server], nginx: Callable[..., Nginx], tmp_path: Path, worker_class: str
) -> MakeSite:
    """A factory: make_site(directives, *args) for a location with these directives in front of a
    server with these arguments. `keep_alive`: nginx uses its connections again."""

    def make(
        directives: str = "",
        *args: str,
        bind: str = "127.0.0.1:0",
        keep_alive: bool = False,
        server_block: str = "",
    ) -> Site:
        if keep_alive:
            args = ("--keep-alive", "60", *args)
        server = serve(FLASK, "-k", worker_class, *args, bind=bind)
        target = f"unix:{tmp_path}/app.sock" if "unix" in bind else f"127.0.0.1:{server.port}"
        upstream = f"upstream app {{ server {target} fail_timeout=0; "
        upstream += "keepalive 8; }" if keep_alive else "}"
        directives = f"{FORWARD}{KEEP_ALIVE if keep_alive else ''}{directives}"
        location = f"location / {{ proxy_pass http://app; {directives} }}"
        block = f"client_max_body_size 100m; {server_block} {location}"
        return Site(nginx(block, upstream), server)

    return make


@pytest.fixture(params=["tcp", "unix"])
def bind(request: pytest.FixtureRequest) -> str:
    return "unix:app.sock" if request.param == "unix" else "127.0.0.1:0"


@pytest.fixture(params=[False, True], ids=["http-1.0", "keep-alive"])
def keep_alive(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_flask_is_served(make_site: MakeSite, bind: str, keep_alive: bool) -> None:
    site = make_site(bind=bind, keep_alive=keep_alive)
    environ = site.environ("/a%20b%C3%A9?x=1", "User-Agent: probe")
    assert environ["PATH_INFO"] == "/a b\xc3\xa9"
    assert environ["RAW_URI"] == "/a%20b%C3%A9?x=1"
    assert environ["SERVER_PROTOCOL"] == ("HTTP/1.1" if keep_alive else "HTTP/1.0")
    assert environ["HTTP_USER_AGENT"] == "probe"
    assert environ["HTTP_HOST"] == "test.example"
    assert not site.nginx.complaints()


def test_connections_are_used_again(make_site: MakeSite, bind: str) -> None:
    site = make_site(bind=bind, keep_alive=True)
    assert len({site.ask("GET", "/connection").body for _ in range(10)}) == 1


# What nginx says of the client


def test_nginx_says_who_the_client_is(make_site: MakeSite, bind: str) -> None:
    environ = make_site(bind=bind).environ()
    assert environ["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert environ["HTTP_X_FORWARDED_PROTO"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == "test.example"
    assert environ["wsgi.url_scheme"] == "http"


def test_what_clients_say_of_themselves_is_replaced_or_put_before(make_site: MakeSite) -> None:
    environ = make_site().environ(
        "/environ",
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil.example",
    )
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.7, 127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["HTTP_X_FORWARDED_HOST"] == "test.example"


@pytest.mark.parametrize(
    ("args", "scheme"),
    [
        ((), "https"),
        (("--forwarded-allow-ips", "127.0.0.0/8"), "https"),
        (("--forwarded-allow-ips", "192.0.2.1"), "http"),
        (("--forwarded-allow-ips", ""), "http"),
    ],
)
def test_the_scheme_is_believed_from_trusted_addresses(
    make_site: MakeSite, nginx: Callable[..., Nginx], args: tuple[str, ...], scheme: str
) -> None:
    """As where this nginx stands behind one that ends TLS."""
    front = FORWARD.replace("$scheme", "https")
    site = make_site("", *args)
    target = f"http://127.0.0.1:{site.server.port}"
    ends_tls = nginx(f"location / {{ proxy_pass {target}; {front} }}")
    seen = json.loads(Site(ends_tls, site.server).ask("GET", "/environ").body)
    assert seen["environ"]["wsgi.url_scheme"] == scheme
    assert seen["url"].startswith(f"{scheme}://test.example/")


def test_nginx_on_a_unix_socket_is_always_believed(
    make_site: MakeSite, nginx: Callable[..., Nginx]
) -> None:
    site = make_site("", "--forwarded-allow-ips", "192.0.2.1", bind="unix:app.sock")
    assert site.environ()["wsgi.url_scheme"] == "http"
    target = f"http://unix:{site.server.directory}/app.sock"
    front = FORWARD.replace("$scheme", "https")
    ends_tls = nginx(f"location / {{ proxy_pass {target}; {front} }}")
    assert Site(ends_tls, site.server).environ()["wsgi.url_scheme"] == "https"


# Bodies


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_50_megabytes_go_up(make_site: MakeSite, buffering: str, keep_alive: bool) -> None:
    site = make_site(f"proxy_request_buffering {buffering};", keep_alive=keep_alive)
    body = bytes(range(256)) * (50 << 12)
    seen = json.loads(site.ask("POST", "/digest", body=body).body)
    assert seen == {"length": 50 << 20, "sha": hashlib.sha256(body).hexdigest()}
    assert not site.nginx.complaints()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_50_megabytes_come_down(make_site: MakeSite, buffering: str, keep_alive: bool) -> None:
    site = make_site(f"proxy_buffering {buffering};", keep_alive=keep_alive)
    assert site.ask("GET", "/large?quarters=200").body == b"0123456789abcdef" * (200 << 14)
    assert not site.nginx.complaints()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_chunked_upload_arrives_whole(
    make_site: MakeSite, buffering: str, keep_alive: bool
) -> None:
    site = make_site(f"proxy_request_buffering {buffering};", keep_alive=keep_alive)
    with site.nginx.connect() as client:
        client.send_request("POST", "/digest", "Transfer-Encoding: chunked")
        client.send(b"6\r\nchunky\r\n4\r\nbody\r\n0\r\n\r\n")
        seen = json.loads(client.response().body)
    assert seen == {"length": 10, "sha": hashlib.sha256(b"chunkybody").hexdigest()}


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_body_that_nobody_reads_does_no_harm(
    make_site: MakeSite, buffering: str, keep_alive: bool
) -> None:
    site = make_site(f"proxy_request_buffering {buffering};", keep_alive=keep_alive)
    for _ in range(5):
        response = site.ask("POST", "/unread", body=b"x" * 3_000_000)
        assert (response.status, response.body) == (200, b"not read")
    assert not site.nginx.complaints()


def test_a_refused_body_is_answered(make_site: MakeSite, keep_alive: bool) -> None:
    site = make_site("", "--limit-request-body", "1000", keep_alive=keep_alive)
    assert site.ask("POST", "/unread", body=b"x" * 200_000).status == 413
    assert "readv() failed" not in site.nginx.errors


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_a_stream_without_a_length_arrives_as_it_is(
    make_site: MakeSite, buffering: str, keep_alive: bool
) -> None:
    """From HTTP/1.0 it ends with the connection, in HTTP/1.1 it has chunks."""
    site = make_site(f"proxy_buffering {buffering};", keep_alive=keep_alive)
    response = site.ask("GET", "/stream")
    assert response.body == b"".join(b"line %d\n" % n for n in range(1000))
    assert response.field("content-length") is None
    assert response.field("transfer-encoding") == "chunked"
    assert not site.nginx.complaints()


def test_head_and_204_have_no_body(make_site: MakeSite, keep_alive: bool) -> None:
    site = make_site(keep_alive=keep_alive)
    assert site.ask("HEAD", "/environ").status == 200
    assert site.ask("GET", "/empty").status == 204
    assert site.ask("GET", "/pid").status == 200
    assert not site.nginx.complaints()


@pytest.mark.parametrize(
    ("directives", "target"),
    [("proxy_buffering off;", "/events"), ("", "/events?unbuffered")],
    ids=["directive", "header"],
)
def test_server_sent_events_come_one_by_one(
    make_site: MakeSite, tmp_path: Path, directives: str, target: str, keep_alive: bool
) -> None:
    site = make_site(directives, keep_alive=keep_alive)
    with site.nginx.connect() as client:
        client.send_request("GET", target)
        assert client.head().field("content-type") == "text/event-stream; charset=utf-8"
        assert b"first" in read_chunk(client)
        (tmp_path / "go").touch()
        assert b"second" in read_chunk(client)


def read_chunk(client: Client) -> bytes:
    data = client.reader.read(int(client.line(), 16))
    assert client.reader.read(2) == b"\r\n"
    return data


def test_a_client_that_leaves_ends_the_response(make_site: MakeSite, keep_alive: bool) -> None:
    site = make_site("proxy_buffering off;", keep_alive=keep_alive)
    with site.nginx.connect() as client:
        client.send_request("GET", "/endless")
        assert client.head().status == 200
    site.server.wait_log("ENDLESS CLOSED")
    assert site.ask("GET", "/empty").status == 204


def test_a_slow_upload_does_not_hold_the_worker(make_site: MakeSite) -> None:
    site = make_site("proxy_request_buffering off; proxy_http_version 1.1;")
    with site.nginx.connect() as slow:
        slow.send_request("POST", "/digest", "Content-Length: 6")
        slow.send(b"abc")
        assert site.ask("GET", "/empty").status == 204
        slow.send(b"def")
        assert json.loads(slow.response().body)["length"] == 6


# Files by nginx


def test_files_are_nginxs_and_all_else_is_the_applications(
    make_site: MakeSite, tmp_path: Path
) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "style.css").write_text("body {}")
    site = make_site(
        server_block=f"root {public}; location /style.css {{ try_files $uri @app; }}"
        "location /pid { try_files $uri @app; }"
        f"location @app {{ proxy_pass http://app; {FORWARD} }}"
    )
    assert site.ask("GET", "/style.css").body == b"body {}"
    assert int(site.ask("GET", "/pid").body) in site.server.workers()
    (public / "style.css").unlink()
    assert site.ask("GET", "/style.css").status == 404


# Under load


def test_clients_queue_while_all_workers_are_busy(
    make_site: MakeSite, tmp_path: Path, bind: str
) -> None:
    site = make_site("", "--backlog", "64", bind=bind)
    clients = [site.nginx.connect() for _ in range(32)]
    for n, client in enumerate(clients):
        client.send_request("GET", f"/hold?n={n}")
    poll(lambda: list(tmp_path.glob("entered-*")), "a request is in the application")
    (tmp_path / "go").touch()
    answers = [client.response() for client in clients]
    assert [(r.status, r.body) for r in answers] == [(200, b"%d" % n) for n in range(32)]
    for client in clients:
        client.close()
    assert not site.nginx.complaints()


def test_many_requests_at_once(make_site: MakeSite, keep_alive: bool) -> None:
    site = make_site("", "-w", "2", keep_alive=keep_alive)
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


@pytest.fixture(params=[("127.0.0.1:0", False), ("unix:app.sock", True)], ids=["http-1.0", "unix"])
def busy_site(make_site: MakeSite, request: pytest.FixtureRequest) -> Site:
    """Two workers, over TCP with HTTP/1.0 or over a unix socket with connections used again."""
    bind, keep_alive = request.param
    site = make_site("", "-w", "2", bind=bind, keep_alive=keep_alive)
    site.server.wait_workers(2)
    return site


def test_reloads_under_load_bring_no_502(busy_site: Site) -> None:
    with Load(busy_site.nginx, keep_alive=False, target="/pid") as load:
        for _ in range(3):
            old = set(busy_site.server.workers())
            busy_site.server.send_signal(signal.SIGHUP)
            wait_for_answer(load, lambda old=old: set(busy_site.server.workers()) - old)
            poll(lambda old=old: not old & set(busy_site.server.workers()), "the old workers go")
    load.check()
    assert not busy_site.nginx.complaints()


def test_upgrades_under_load_bring_no_502(busy_site: Site) -> None:
    masters = [busy_site.server.pid]
    try:
        with Load(busy_site.nginx, keep_alive=False, target="/pid") as load:
            for _ in range(3):
                masters.append(upgrade(busy_site.server, masters))
                wait_for_answer(load, lambda: set(children(masters[-1])))
        load.check()
        assert not busy_site.nginx.complaints()
    finally:
        end_masters(masters[1:])


def wait_for_answer(load: Load, pids: Callable[[], set[int]]) -> None:
    """Until one of these processes has answered."""
    poll(lambda: pids() & {int(body) for body in list(load.bodies)}, "a new worker answers")


def upgrade(server: Server, masters: list[int]) -> int:
    """A new master in the place of the last one; its pid."""
    os.kill(masters[-1], signal.SIGUSR2)

    def ready() -> int:
        new = re.findall(r"Starting a new master with pid: (\d+)", server.log)[len(masters) - 1 :]
        return int(new[0]) if new and f"[{new[0]}] [INFO] Upgraded" in server.log else 0

    new = int(str(poll(ready, "the new master is ready")))
    os.kill(masters[-1], signal.SIGTERM)
    poll(lambda: not alive(masters[-1]), "the old master ends, with its workers")
    return new


def end_masters(pids: list[int]) -> None:
    left = [each for pid in pids for each in (pid, *children(pid))]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_master_that_is_gone_is_a_502_until_it_is_back(make_site: MakeSite) -> None:
    """Not for nginx's ten seconds longer: fail_timeout=0."""
    site = make_site(bind="unix:app.sock")
    site.server.stop()
    assert site.ask("GET", "/pid").status == 502
    again = Server(site.server.directory, None, (), bind="unix:app.sock")
    try:
        assert site.ask("GET", "/pid").status == 200
    finally:
        again.close()


def test_nginx_waits_for_a_request_that_takes_its_time(make_site: MakeSite) -> None:
    site = make_site("proxy_read_timeout 3s;")
    with site.nginx.connect() as client:
        client.send_request("GET", "/hold?n=1")
        assert client.response().status == 504
    (site.server.directory / "go").touch()
    poll(lambda: site.ask("GET", "/pid").status == 200, "an answer in time")


def test_the_log_shows_what_nginx_asked(make_site: MakeSite) -> None:
    site = make_site("", "--access-logfile", "-")
    site.ask("GET", "/environ?x=1", "User-Agent: probe")
    site.server.wait_log(r'"GET /environ\?x=1 HTTP/1.0" 200 \d+ "-" "probe"')


def test_a_connection_without_a_request_is_no_fault(make_site: MakeSite) -> None:
    """As load balancers and nginx's own checks make them."""
    site = make_site()
    with socket.create_connection(("127.0.0.1", site.server.port), PATIENCE):
        pass
    assert site.ask("GET", "/pid").status == 200
    assert "WARNING" not in site.server.log
