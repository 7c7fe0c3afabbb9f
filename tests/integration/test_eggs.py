# SPDX-License-Identifier: MIT
"""Applications, filters and loggers that an installed distribution offers: `egg:` in a PasteDeploy
file and in logger_class. The distribution is one that pip has installed."""

from __future__ import annotations

import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll, run_command

Serve = Callable[..., Server]

pytest.importorskip("paste.deploy")
pytest.importorskip("pip")

#: What the distribution offers, by the groups of PasteDeploy and of Gunicorn.
ENTRY_POINTS = """\
[paste.app_factory]
main = shop.site:main
admin = shop.site:admin
raises = shop.site:raises
gone = shop.site:gone
needs = shop.needs:main

[paste.composite_factory]
by_path = shop.site:by_path

[paste.filter_factory]
louder = shop.site:louder

[paste.filter_app_factory]
bracketed = shop.site:bracketed

[gunicorn.loggers]
marked = shop.logs:Marked
"""

SITE = """\
def answer(text):
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [text.encode()]
    return app

def main(global_config, **local):
    return answer(f"main {local.get('greeting')} {global_config.get('town')}")

def admin(global_config):
    return answer("admin")

def raises(global_config):
    raise LookupError("a mistake of the shop")

def by_path(loader, global_config, **local):
    apps = {f"/{path}": loader.get_app(name) for path, name in local.items()}
    def app(environ, start_response):
        return apps[environ["PATH_INFO"]](environ, start_response)
    return app

def louder(global_config):
    return lambda app: lambda e, s: [part.upper() for part in app(e, s)]

def bracketed(app, global_config, sign):
    return lambda e, s: [sign.encode(), *app(e, s), sign.encode()]
"""

LOGS = """\
from cgunicorn.glogging import Logger

class Marked(Logger):
    def info(self, msg, *args, **kwargs):
        super().info("of the shop: " + str(msg), *args, **kwargs)
"""

INI = """\
[DEFAULT]
town = Delft

[app:main]
use = egg:shop
greeting = hello

[app:named]
use = egg:shop#admin

[composite:both]
use = egg:shop#by_path
first = main
second = named

[filter:loud]
use = egg:shop#louder

[pipeline:piped]
pipeline = loud main

[filter-app:wrapped]
use = egg:shop#bracketed
next = named
sign = *

[app:raises]
use = egg:shop#raises

[app:gone]
use = egg:shop#gone

[app:needs]
use = egg:shop#needs

[app:nothing]
use = egg:shop#nothing

[app:nowhere]
use = egg:nowhere-at-all

[server:main]
use = egg:cgunicorn
bind = 127.0.0.1:0
logger_class = egg:shop#marked
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the import path with the distribution `shop`, installed from a wheel."""
    folder = tmp_path_factory.mktemp("shop")
    wheel = folder / "shop-1.0-py3-none-any.whl"
    info = "shop-1.0.dist-info"
    files = {
        "shop/__init__.py": "",
        "shop/site.py": SITE,
        "shop/logs.py": LOGS,
        "shop/needs.py": "import not_installed_anywhere\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": ENTRY_POINTS,
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--disable-pip-version-check", "--target", str(folder / "lib"), str(wheel)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return folder / "lib"


@pytest.fixture
def run(serve: Serve, tmp_path: Path, library: Path) -> Callable[..., Server]:
    """Runs the server with the application of a section."""
    (tmp_path / "shop.ini").write_text(INI)

    def start(section: str = "", *args: str) -> Server:
        uri = f"shop.ini#{section}" if section else "shop.ini"
        env = {"PYTHONPATH": str(library)}
        return serve(None, "--paste", uri, *args, bind=(), spec="", env=env)

    return start


Run = Callable[..., Server]


@pytest.mark.parametrize(
    ("section", "path", "body"),
    [
        ("", "/", "main hello Delft"),
        ("main", "/", "main hello Delft"),
        ("named", "/", "admin"),
        ("both", "/first", "main hello Delft"),
        ("both", "/second", "admin"),
        ("piped", "/", "MAIN HELLO DELFT"),
        ("wrapped", "/", "*admin*"),
    ],
)
def test_what_a_distribution_offers_is_served(run: Run, section: str, path: str, body: str) -> None:
    assert run(section).get(path).body == body.encode()


@pytest.mark.parametrize("args", [(), ("--preload",), ("--reload",)], ids=["", "preload", "reload"])
def test_a_server_with_everything_from_a_distribution(
    run: Run, tmp_path: Path, worker_class: str, args: tuple[str, ...]
) -> None:
    """Its logger too, also after a HUP that changes the file."""
    server = run("", "-k", worker_class, *args)
    assert server.get().body == b"main hello Delft"
    assert "of the shop: Booting worker" in server.log
    (tmp_path / "shop.ini").write_text(INI.replace("hello", "good day"))
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: ")
    if "--preload" not in args:
        poll(lambda: server.get().body == b"main good day Delft", "the new file counts")
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("nothing", "nothing"),
        ("nowhere", "nowhere-at-all"),
        ("gone", "gone"),
    ],
)
def test_what_no_distribution_offers_is_one_sentence(
    tmp_path: Path, library: Path, section: str, told: str
) -> None:
    (tmp_path / "shop.ini").write_text(INI)
    env = {"PYTHONPATH": str(library)}
    done = run_command(tmp_path, "--paste", f"shop.ini#{section}", "--check-config", env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: Can't load '{tmp_path}/shop.ini#{section}': ")
    assert told in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ("raises", "LookupError: a mistake of the shop"),
        ("needs", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
    ],
)
def test_exceptions_of_the_distribution_keep_their_traceback(
    tmp_path: Path, library: Path, section: str, told: str
) -> None:
    (tmp_path / "shop.ini").write_text(INI)
    env = {"PYTHONPATH": str(library)}
    done = run_command(tmp_path, "--paste", f"shop.ini#{section}", "--check-config", env=env)
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.endswith("\nError: Error while loading the application.\n")
