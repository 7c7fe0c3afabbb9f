# SPDX-License-Identifier: MIT
"""Configuration that the pages show for other programs is given to these: nginx, supervisord,
systemd's own checker, PasteDeploy and pserve; and the lines of a Dockerfile are carried out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shown
from harness import Server, children, poll
from nginx import Nginx
from shown import Block
from supervisord import Supervisord

Serve = Callable[..., Server]

PROXY = shown.block("docs/deploy.md", "nginx")
PROGRAM = shown.block("docs/deploy.md", "ini", "[program:")
CMD = shown.block("docs/deploy.md", "dockerfile")
UWSGI = shown.block("docs/uwsgi-protocol.md", "nginx", "location")
SCHEME = shown.block("docs/uwsgi-protocol.md", "nginx", "uwsgi_param")
WRONG_DIRECTIVE = shown.block("docs/uwsgi-protocol.md", "text")
SERVICE = shown.block("docs/systemd.md", "ini", "[Unit]")
SOCKET = shown.block("docs/systemd.md", "ini", "# app.socket")
PASTE = shown.block("docs/embedding.md", "ini")

#: Tells the environ.
APP = """
import json
def app(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
"""


def replaced(block: Block, *pairs: tuple[str, object]) -> str:
    text = block.text
    for old, new in pairs:
        assert old in text, f"{block} does not say {old}"
        text = text.replace(old, str(new))
    return text


# nginx


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[[str], Nginx]]:
    started: list[Nginx] = []

    def start(server: str) -> Nginx:
        started.append(Nginx(tmp_path / f"nginx-{len(started)}", server))
        return started[-1]

    yield start
    for one in started:
        one.close()


def ask(site: Nginx, *fields: str) -> dict[str, str]:
    with site.connect() as client:
        client.send_request("GET", "/x?y", *fields)
        response = client.response()
    assert response.status == 200, (response, site.errors)
    assert not site.complaints()
    return json.loads(response.body)


def test_minimal_site(serve: Serve, nginx: Callable[[str], Nginx]) -> None:
    server = serve(APP)
    site = nginx(replaced(PROXY, ("127.0.0.1:8000", f"127.0.0.1:{server.port}")))
    seen = ask(site, "X-Forwarded-Proto: https")
    assert seen["HTTP_X_FORWARDED_FOR"] == "127.0.0.1"
    assert seen["HTTP_HOST"] == "test.example"
    assert seen["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("scheme", ["", SCHEME.text])
def test_uwsgi_pass(
    serve: Serve, nginx: Callable[[str], Nginx], tmp_path: Path, scheme: str
) -> None:
    """Alone, and with the line for a second proxy."""
    serve(APP, bind=f"unix:{tmp_path}/app.sock")
    location = replaced(UWSGI, ("/run/app.sock", tmp_path / "app.sock"))
    site = nginx(location.replace("uwsgi_pass unix:", f"{scheme}uwsgi_pass unix:"))
    seen = ask(site, "X-Forwarded-Proto: https")
    assert (seen["PATH_INFO"], seen["QUERY_STRING"]) == ("/x", "y")
    assert seen["wsgi.url_scheme"] == ("https" if scheme else "http")


def test_the_wrong_directive_is_told(serve: Serve) -> None:
    server = serve(APP, bind="uwsgi://127.0.0.1:0", wait=False)
    port = server.wait_log(r"Listening at: \S*:(\d+)")[1]
    server.port = int(port)
    assert b" 400 " in server.raw(b"GET / HTTP/1.0\r\n\r\n")
    server.wait_log(re.escape(WRONG_DIRECTIVE.text.strip()))


# supervisord


def test_program_of_supervisord(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    program = replaced(PROGRAM, ("/srv/myapp", tmp_path), (":22222", ":0"))
    log = f"stderr_logfile={tmp_path}/err.log\n"
    supervisord = Supervisord(tmp_path, program + log)
    try:
        pid = supervisord.wait_running()
        poll(lambda: children(pid), "a worker")
        poll(lambda: "Booting worker" in (tmp_path / "err.log").read_text(), "it serves")
        supervisord.stop()
    finally:
        supervisord.close()


# systemd


def verify(folder: Path, *units: str) -> None:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        [program, "verify", *(f"./{unit}" for unit in units)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if re.search(r"\bapp\.", line)]
    assert (done.returncode, complaints) == (0, []), done.stderr


def service(folder: Path) -> str:
    """The unit for a command, a folder and a user that are here."""
    command = Path(sys.executable).parent / "cgunicorn"
    return replaced(
        SERVICE,
        ("/srv/app/venv/bin/cgunicorn", command),
        ("WorkingDirectory=/srv/app", f"WorkingDirectory={folder}"),
        ("User=app", "User=www-data"),
    )


def test_service_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(service(tmp_path))
    verify(tmp_path, "app.service")


def test_socket_of_systemd(tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(service(tmp_path))
    (tmp_path / "app.socket").write_text(SOCKET.text)
    verify(tmp_path, "app.socket", "app.service")


# PasteDeploy

FACTORY = """
def main(global_config, **settings):
    from app import app
    return app
"""


def paste_file(folder: Path) -> None:
    (folder / "app.py").write_text(APP)
    (folder / "factory.py").write_text(FACTORY)
    server = replaced(PASTE, ("127.0.0.1:6543", "127.0.0.1:0"))
    (folder / "production.ini").write_text(f"[app:main]\nuse = call:factory:main\n\n{server}")


def check_four_workers(server: Server) -> None:
    server.wait_workers(4)
    assert json.loads(server.get("/x").body)["PATH_INFO"] == "/x"
    assert server.stop() == 0


def test_server_section_of_paste(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("paste.deploy")
    paste_file(tmp_path)
    check_four_workers(serve(None, "--paste", "production.ini", bind=(), spec=""))


def test_server_section_of_pserve(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("pyramid")
    paste_file(tmp_path)
    command = (sys.executable, "-m", "pyramid.scripts.pserve", "production.ini")
    env = {"PYTHONPATH": str(tmp_path)}
    check_four_workers(serve(None, command=command, bind=(), spec="", env=env))


# Containers


def test_cmd_of_a_dockerfile(serve: Serve) -> None:
    """The list form, as the command that an ENTRYPOINT `cgunicorn` is given."""
    keyword, _, words = CMD.text.partition(" ")
    arguments = [word.replace("0.0.0.0:8000", "127.0.0.1:0") for word in json.loads(words)]
    assert keyword == "CMD"
    assert "127.0.0.1:0" in arguments
    server = serve(APP, *arguments, bind=(), spec="")
    assert json.loads(server.get("/x").body)["PATH_INFO"] == "/x"
    server.wait_log("GET /x")
    assert server.stop() == 0
