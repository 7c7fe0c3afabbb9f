# SPDX-License-Identifier: MIT
"""nginx with the sites of examples/deploy, only their paths and ports replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from front import DEPLOY, FLASK, Site, example
from harness import Server, poll
from nginx import Nginx

Serve = Callable[..., Server]
MakeNginx = Callable[..., Nginx]


def command_in(path: str) -> list[str]:
    """The arguments of the `cgunicorn` that the first lines of a site ask for."""
    lines = (DEPLOY / path).read_text().splitlines()
    [command] = [line for line in lines if line.startswith("#     cgunicorn ")]
    return command.split()[2:]


def start(serve: Serve, nginx: MakeNginx, path: str, *replaced: tuple[str, object]) -> Site:
    """The site in front of the server, started as the site says. A TCP port is replaced by one of
    the kernel's choice."""
    args = command_in(path)
    assert args.pop() == "app:app"
    at = args.index("-b")
    bind = args[at + 1].replace(":8000", ":0")
    for old, new in replaced:
        bind = bind.replace(old, str(new))
    server = serve(FLASK, *args[:at], *args[at + 2 :], bind=bind)
    if server.port:
        replaced = (("127.0.0.1:8000", f"127.0.0.1:{server.port}"), *replaced)
    return Site(nginx(site=example(path, *replaced)), server)


def check(site: Site) -> None:
    assert int(site.ask("GET", "/pid").body) in site.server.workers()
    body = b"x" * 2_000_000
    assert b'"length":2000000' in site.ask("POST", "/digest", body=body).body.replace(b" ", b"")
    assert site.environ("/environ", "X-Forwarded-Proto: https")["wsgi.url_scheme"] == "http"
    assert not site.nginx.complaints()


def test_proxy_over_tcp(serve: Serve, nginx: MakeNginx) -> None:
    site = start(serve, nginx, "nginx/proxy-tcp.conf")
    check(site)
    assert site.environ()["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"


def test_proxy_over_tcp_passes_events_on_one_by_one(
    serve: Serve, nginx: MakeNginx, tmp_path: Path
) -> None:
    site = start(serve, nginx, "nginx/proxy-tcp.conf")
    with site.nginx.connect() as client:
        client.send_request("GET", "/events")
        client.head()
        assert b"first" in client.reader.read1()
        (tmp_path / "go").touch()
        poll(lambda: b"second" in client.reader.read1(), "the second event")


def test_proxy_over_a_unix_socket_uses_connections_again(
    serve: Serve, nginx: MakeNginx, tmp_path: Path
) -> None:
    site = start(serve, nginx, "nginx/proxy-unix.conf", ("/run/myapp.sock", tmp_path / "app.sock"))
    check(site)
    assert len({site.ask("GET", "/connection").body for _ in range(10)}) == 1


def test_uwsgi(serve: Serve, nginx: MakeNginx, tmp_path: Path) -> None:
    socket = ("/tmp/uwsgi.sock", tmp_path / "app.sock")
    site = start(serve, nginx, "nginx/uwsgi.conf", socket)
    check(site)
    assert site.environ()["DOCUMENT_ROOT"]  # a parameter of uwsgi_params
    assert site.environ()["SERVER_NAME"] == "example.com"


def test_static_files_are_nginxs(serve: Serve, nginx: MakeNginx, tmp_path: Path) -> None:
    public = tmp_path / "public"
    (public / "static").mkdir(parents=True)
    (public / "robots.txt").write_text("none")
    (public / "static" / "style-1.css").write_text("body {}")
    site = start(
        serve,
        nginx,
        "nginx/static.conf",
        ("/run/myapp.sock", tmp_path / "app.sock"),
        ("/srv/myapp/public", public),
    )
    check(site)
    assert site.ask("GET", "/robots.txt").body == b"none"
    style = site.ask("GET", "/static/style-1.css")
    assert style.body == b"body {}"
    assert ("Cache-Control", "max-age=2592000") in style.fields
    assert site.ask("GET", "/../app.py").status == 400
    assert site.ask("GET", "/app.py").status == 404


def test_compose(serve: Serve, nginx: MakeNginx) -> None:
    """nginx's file of the containers, with the application's name resolved."""
    server = serve(FLASK, "-k", "async")
    site = Site(
        nginx(site=example("docker/nginx.conf", ("app:8000", f"127.0.0.1:{server.port}"))), server
    )
    check(site)
    assert site.environ()["HTTP_HOST"] == "test.example:8080"


@pytest.mark.parametrize("path", sorted(p.name for p in (DEPLOY / "nginx").iterdir()))
def test_every_site_is_named_in_the_folders_readme(path: str) -> None:
    assert f"(nginx/{path})" in (DEPLOY / "README.md").read_text()
