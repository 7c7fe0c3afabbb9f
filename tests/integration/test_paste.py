# SPDX-License-Identifier: MIT
"""PasteDeploy files: --paste, and pserve of Pyramid with `use = egg:cgunicorn#main`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll

Serve = Callable[..., Server]

pytest.importorskip("paste.deploy")

#: Answers what the file said to it.
FACTORY = """
def main(global_config, **settings):
    print("loaded", flush=True)
    def app(environ, start_response):
        start_response("200 OK", [])
        return [f"{settings} {global_config.get('colour')}".encode()]
    return app

def broken(global_config, **settings):
    raise LookupError("of the application")
"""

INI = """
[app:main]
use = call:factory:main
name = first

[app:second]
use = call:factory:main
name = %(colour)s

[app:broken]
use = call:factory:broken

[app:absent]
use = egg:no-such-package

[server:main]
use = egg:cgunicorn#main
bind = 127.0.0.1:0
workers = 2
proc_name = from %(here)s
"""

LOGGING = """
[loggers]
keys = root

[handlers]
keys = file

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = file

[handler_file]
class = FileHandler
args = (r"%(here)s/root.log",)
formatter = plain

[formatter_plain]
format = from the ini: %(message)s
"""


@pytest.fixture
def run(serve: Serve, tmp_path: Path) -> Callable[..., Server]:
    """Runs the server with nothing but arguments, beside the file app.ini."""
    (tmp_path / "factory.py").write_text(FACTORY)

    def start(*args: str, ini: str = INI, **options: object) -> Server:
        (tmp_path / "app.ini").write_text(ini)
        return serve(None, *args, bind=(), spec="", **options)

    return start


Run = Callable[..., Server]


def refused(run: Run, *args: str, **options: object) -> str:
    """What a server says that does not start."""
    server = run(*args, wait=False, **options)
    assert server.wait() == 1, server.log
    return server.log


def test_paste_loads_the_main_application(run: Run, worker_class: str) -> None:
    server = run("--paste", "app.ini", "-k", worker_class)
    assert server.get().body == b"{'name': 'first'} None"
    assert server.stop() == 0


def test_a_section_and_variables(run: Run) -> None:
    server = run("--paster", "app.ini#second", "--paste-global", "colour=red=ish")
    assert server.get().body == b"{'name': 'red=ish'} red=ish"


def test_the_servers_section_counts_where_it_means_us(run: Run, tmp_path: Path) -> None:
    server = run("--paste", "app.ini")
    server.wait_workers(2)
    server.stop()
    other = INI.replace("egg:cgunicorn", "egg:waitress").replace("workers", "listen")
    server = run("--paste", "app.ini", "-b", "127.0.0.1:0", ini=other)
    server.wait_workers(1)


def test_gunicorns_name_means_us_too(run: Run) -> None:
    server = run("--paste", "app.ini", ini=INI.replace("cgunicorn", "gunicorn"))
    server.wait_workers(2)


def test_host_and_port(run: Run) -> None:
    ini = INI.replace("bind = 127.0.0.1:0", "host = 127.0.0.1\nport = 0")
    server = run("--paste", "app.ini", ini=ini)
    assert server.get().status == 200


def test_everything_else_is_stronger(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("workers = 1")
    server = run("--paste", "app.ini", "--print-config", wait=False)
    assert server.wait() == 0
    words = dict(line.split(" = ") for line in server.log.splitlines() if " = " in line)
    words = {name.strip(): value for name, value in words.items()}
    assert words["workers"] == "1"
    assert words["proc_name"] == f"from {tmp_path}"
    assert words["paste"] == str(tmp_path / "app.ini")
    assert "loaded" in server.log


def test_paste_in_the_config_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("paste = 'app.ini#second'\n")
    (tmp_path / "elsewhere").mkdir()
    server = run("--chdir", "elsewhere", "--pythonpath", "..", "--paste-global", "colour=red")
    assert server.get().body == b"{'name': 'red'} red"


def test_logging_of_the_file(run: Run, tmp_path: Path) -> None:
    factory = FACTORY.replace("print(", "import logging; logging.warning(").replace(
        ", flush=True", ""
    )
    (tmp_path / "factory.py").write_text(factory)
    server = run("--paste", "app.ini", ini=INI + LOGGING)
    server.get()
    assert "from the ini: loaded" in (tmp_path / "root.log").read_text()


def test_hup_reads_the_file_again(run: Run, tmp_path: Path) -> None:
    server = run("--paste", "app.ini")
    server.wait_workers(2)
    ini = INI.replace("workers = 2", "workers = 3").replace("first", "other")
    (tmp_path / "app.ini").write_text(ini)
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    server.wait_workers(3)
    poll(lambda: server.get().body == b"{'name': 'other'} None", "the new application")


# What is wrong


def test_a_missing_file(run: Run, tmp_path: Path) -> None:
    log = refused(run, "--paste", "nope.ini")
    assert log == f"Error: Can't read {str(tmp_path / 'nope.ini')!r}: No such file or directory.\n"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("workers = 2", "workers = many", "Invalid value for workers: 'many' (from {}/app.ini, ["),
        ("workers = 2", "wrokers = 2", "No configuration setting for: wrokers (from {}/app.ini, ["),
        ("[server:main]", "nonsense", "Can't read '{}/app.ini': Source contains parsing errors"),
        ("%(here)s", "%(there)s", "Can't read '{}/app.ini': Bad value substitution"),
    ],
)
def test_a_wrong_file_is_one_sentence(
    run: Run, tmp_path: Path, old: str, new: str, words: str
) -> None:
    log = refused(run, "--paste", "app.ini", ini=INI.replace(old, new))
    assert log.startswith(f"Error: {words.format(tmp_path)}"), log
    assert log.count("\n") == 1, log


@pytest.mark.parametrize("section", ["nothing", "absent"])
def test_a_section_that_names_no_application(run: Run, section: str) -> None:
    log = refused(run, "--paste", f"app.ini#{section}", "--check-config")
    assert log.startswith("Error: Can't load "), log
    assert log.count("\n") == 1, log


def test_exceptions_of_the_application_are_its_own(run: Run) -> None:
    log = refused(run, "--paste", "app.ini#broken", "--check-config")
    assert "LookupError: of the application" in log
    assert log.endswith("Error: Error while loading the application.\n")


def test_without_the_package(run: Run, tmp_path: Path) -> None:
    hide = "import sys\nsys.modules['paste.deploy'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(hide)
    log = refused(run, "--paste", "app.ini", env={"PYTHONPATH": str(tmp_path)})
    assert log == "Error: paste needs the package PasteDeploy: pip install PasteDeploy.\n"


# pserve

SITE = """
from pyramid.config import Configurator
from pyramid.response import Response

def main(global_config, **settings):
    with Configurator(settings=settings) as config:
        config.add_route("home", "/")
        config.add_view(lambda request: Response(settings["name"]), route_name="home")
        return config.make_wsgi_app()
"""


def pserve(serve: Serve, tmp_path: Path, ini: str = INI) -> Server:
    pytest.importorskip("pyramid")
    (tmp_path / "factory.py").write_text(SITE)
    (tmp_path / "app.ini").write_text(ini)
    command = (sys.executable, "-m", "pyramid.scripts.pserve", "app.ini")
    env = {"PYTHONPATH": str(tmp_path)}
    return serve(None, command=command, bind=(), spec="", env=env)


def test_pserve_serves(serve: Serve, tmp_path: Path) -> None:
    server = pserve(serve, tmp_path)
    server.wait_workers(2)
    assert server.get().body == b"first"
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    assert server.get().body == b"first"
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_pserve_with_a_config_file(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("workers = 1")
    server = pserve(serve, tmp_path, INI + "config = mine.py\nthreads = 2\n")
    server.wait_workers(1)
    assert "Using worker: gthread" in server.log
    assert server.get().body == b"first"
