# SPDX-License-Identifier: MIT
"""Flask, nginx and an ini file of uWSGI's, as tutorials join them: the files as they stand there,
but for the folder, and the word uwsgi of the command line replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from front import FLASK, Site
from harness import Server
from nginx import Nginx

#: Each with the name that it gives to the application's file; the first file's misspelt `process`
#: is uWSGI's users' own.
INI_FILES = {
    "with all that goes wrong silenced": """\
[uwsgi]
chdir = {folder}
callable = app
process = 3
module = wsgi
http = 127.0.0.1:0
socket = {folder}/uwsgi.sock
chmod-socket = 666
die-on-term = true
ignore-sigpipe = true
socket-timeout = 3000
http-timeout = 3000
ignore-write-errors = true
disable-write-exception = true
""",
    "with a virtual environment's place left out": """\
[uwsgi]
chdir={folder}
chmod-socket=666
callable=app
module=app
socket={folder}/uwsgi.sock
""",
}

LOCATIONS = """
location / {{ try_files $uri @app; }}
location @app {{
    include uwsgi_params;
    uwsgi_pass unix:{folder}/uwsgi.sock;
}}
"""


@pytest.fixture(params=sorted(INI_FILES))
def site(
    request: pytest.FixtureRequest,
    serve: Callable[..., Server],
    nginx: Callable[..., Nginx],
    tmp_path: Path,
) -> Site:
    (tmp_path / "wsgi.py").write_text("from app import app\n")
    (tmp_path / "uwsgi.ini").write_text(INI_FILES[request.param].format(folder=tmp_path))
    server = serve(FLASK, "-i", "uwsgi.ini", bind=(), spec="")
    return Site(nginx(LOCATIONS.format(folder=tmp_path)), server)


def test_requests_go_all_the_way(site: Site) -> None:
    assert site.environ("/environ?a=1")["QUERY_STRING"] == "a=1"
    body = bytes(100_000)
    response = site.ask("POST", "/digest", body=body)
    assert hashlib.sha256(body).hexdigest() in response.body.decode()
    assert not site.nginx.complaints()


def test_it_ends_by_the_signal_of_a_supervisor(site: Site, tmp_path: Path) -> None:
    site.environ()
    assert site.server.stop() == 0
    assert not (tmp_path / "uwsgi.sock").exists()
