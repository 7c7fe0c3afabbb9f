# SPDX-License-Identifier: MIT
"""The commands that the pages tell people to type are typed. Of `cgunicorn` the addresses alone are
others: a port of the kernel's choice, a socket file in the test's folder."""

from __future__ import annotations

import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shown
from cgunicorn.settings import SETTINGS
from cgunicorn.uwsgi.options import OPTIONS
from harness import PATIENCE, Server, run_command, server_environment
from shown import ROOT, Command

Serve = Callable[..., Server]

#: The files that the commands speak of.
FILES = {
    "app.py": "def app(environ, start_response):\n"
    "    start_response('200 OK', [])\n    return [b'hello']\n"
    "application = app\n"
    "def create_app():\n    return app\n",
    "gunicorn.conf.py": "workers = 2\n",
    "uwsgi.ini": "[uwsgi]\nmodule = app\ncallable = app\n[staging]\nmodule = app\ncallable = app\n",
    "production.ini": "[app:main]\npaste.app_factory = factory:make\n"
    "[server:main]\nuse = egg:cgunicorn#main\n",
    "factory.py": "import app\ndef make(global_conf, **settings):\n    return app.app\n",
}
#: These end by themselves, all others serve.
ENDS = {"--help", "--version", "--check-config", "--print-config"}
BIN = Path(sys.executable).parent
#: Where the commands are looked for.
PATH = f"{BIN}:{os.environ.get('PATH', os.defpath)}"


@pytest.fixture
def folder() -> Iterator[Path]:
    """With the files. Other users may look into it, too."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        for name, text in FILES.items():
            (folder / name).write_text(text)
        yield folder


def in_the_folder(command: str, folder: Path) -> str:
    """The same command at another address."""
    command = re.sub(r"-b \S*:\d+", "-b 127.0.0.1:0", command)
    return re.sub(r"-b unix:\S*/", f"-b unix:{folder}/", command)


def lab(command: str) -> str:
    """The same measurement, in less time."""
    grid = "" if "--grid" in command else " --grid sync:1"
    return f"{command}{grid} --seconds 0.1 --sleep 0.1 --clients 2"


def run_to_its_end(command: str, folder: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**server_environment(), "PATH": PATH},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=4 * PATIENCE,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert "unknown" not in done.stderr


def check_serves(command: str, folder: Path) -> None:
    env = {"PATH": PATH, "CGUNICORN_BIND": "127.0.0.1:0"}
    words = ["sh", "-c", f"exec {command}"]
    server = Server(folder, None, command=words, bind=(), spec="", env=env, wait=False)
    try:
        if redirected := re.search(r" 2>(\S+)", command):
            server.wait_listening_in(folder / redirected[1])
        else:
            server.wait_listening()
        with server.connect() if server.port else server.connect_unix("app.sock") as client:
            client.send_request("GET", "/")
            assert client.response().body == b"hello"
        assert server.stop() == 0
        assert "unknown" not in server.log
    finally:
        server.close()


def skip_without_rights(command: str) -> None:
    user = re.search(r" -u (\S+)", command)
    if user and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if user and user[1] not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip(f"there is no user {user[1]}")


@pytest.mark.parametrize("command", shown.commands("cgunicorn"), ids=lambda c: c.place)
def test_cgunicorn(folder: Path, command: Command) -> None:
    skip_without_rights(command.text)
    if "--paste" in command.text:
        pytest.importorskip("paste.deploy")
    text = in_the_folder(command.text, folder)
    if text.startswith("cgunicorn lab"):
        run_to_its_end(lab(text), folder)
    elif ENDS & set(shlex.split(text)):
        run_to_its_end(text, folder)
    else:
        check_serves(text, folder)


#: In the text and in tables. Words in capitals stand for something.
INLINE = sorted(
    {
        (shown.name(page), command)
        for page in shown.PAGES
        for command in re.findall(r"`(cgunicorn [^`]*)`", page.read_text())
        if not re.search(r"\b[A-Z]{3}|\.\.\.", command) and command != "cgunicorn lab"
    }
)


@pytest.mark.parametrize(("page", "command"), INLINE)
def test_cgunicorn_in_the_text_is_understood(folder: Path, page: str, command: str) -> None:
    (folder / "lab.py").write_text(FILES["app.py"])
    arguments = shlex.split(command)[1:]
    named = any(word.partition(":")[0] in ("app", "lab") or "uwsgi" in word for word in arguments)
    done = run_command(folder, "--check-config", *arguments, *([] if named else ["app:app"]))
    assert done.returncode == 0, done.stderr
    assert "unknown" not in done.stderr


#: The table of docs/from-uwsgi.md: "the same with cgunicorn".
OF_UWSGI = sorted(
    {
        command
        for command in re.findall(r"`(uwsgi [^`]*)`", (ROOT / "docs/from-uwsgi.md").read_text())
        if "uwsgi_" not in command
    }
)


@pytest.mark.parametrize("command", OF_UWSGI)
def test_command_of_uwsgi_is_understood(folder: Path, command: str) -> None:
    venv.create(folder / ".venv")
    done = run_command(folder, *shlex.split(command)[1:], "--check-config")
    assert done.returncode == 0, done.stderr
    assert "unknown" not in done.stderr


#: Of other programs: docker, systemctl, and their kin.
FOREIGN_FLAGS = {"--build", "--cpus", "--init", "--now", "--version"}


def flags_in(*paths: str) -> set[str]:
    return {flag for path in paths for flag in names_in(path, r"\"(--[a-z][\w-]*)\"")}


#: What users read; the READMEs of other folders speak of compilers' and pytest's flags as well.
FOR_USERS = [
    page for page in shown.PAGES if page.parent in (ROOT, ROOT / "docs", ROOT / "examples/deploy")
]


@pytest.mark.parametrize("page", FOR_USERS, ids=shown.name)
def test_flags_that_are_named_exist(page: Path) -> None:
    known = {flag for setting in SETTINGS.values() for flag in setting.flags}
    known |= {f"--{name}" for option in OPTIONS for name in option.names} | {"--help", "--ini"}
    known |= flags_in("pyext/cgunicorn/lab/command.py", "tests/load/run.py") | FOREIGN_FLAGS
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text()))
    assert named - known == set()


# ./dev


def usage() -> str:
    return subprocess.run(
        [ROOT / "dev", "help"], capture_output=True, text=True, check=True, timeout=PATIENCE
    ).stdout


def names_in(path: str, pattern: str) -> set[str]:
    return set(re.findall(pattern, (ROOT / path).read_text(), re.MULTILINE))


def check_dev_arguments(command: str, arguments: list[str]) -> None:
    """That what is named is there."""
    plain = [word for word in arguments if re.match(r"[a-z]", word)]
    if command in ("test", "asan"):
        assert all((ROOT / word).exists() for word in plain if "/" in word)
    elif command == "bench":
        scenarios = names_in("bench/scenarios.py", r'"([\w-]+)"')
        peers = names_in("bench/peers.py", r'"([\w-]+)"')
        assert all(set(word.split(",")) <= scenarios | peers for word in plain)
    elif command == "load":
        assert set(plain) <= names_in("tests/load/scenarios.py", r'"([\w-]+)"')
    elif command == "fuzz":
        assert all((ROOT / f"tests/fuzz/{word}_fuzz.c").exists() for word in plain)


DEV = [(c.place, c.text) for c in shown.commands("./dev")] + sorted(
    (shown.name(page), command)
    for page in shown.PAGES
    for command in set(re.findall(r"`(\./dev [^`]*)`", page.read_text()))
)


@pytest.mark.parametrize(("place", "command"), DEV)
def test_dev(place: str, command: str) -> None:
    words = shlex.split(command.partition(" && ")[0])
    name, *arguments = words[words.index("./dev") + 1 :]  # behind variables
    assert re.search(rf"^  {name}\b", usage(), re.MULTILINE), command
    check_dev_arguments(name, arguments)


def test_dev_serve_serves_the_example(serve: Serve) -> None:
    """The first line of all. It installs and builds nothing where `./dev test` has run."""
    if Path(sys.prefix) != ROOT / "build/venv" or "CGUNICORN_TEST_ENV" in os.environ:
        pytest.skip("these tests were not started by ./dev test")
    env = {"PATH": PATH}
    if "CGUNICORN_LLHTTP_DIR" in os.environ:
        env["CGUNICORN_LLHTTP_DIR"] = os.environ["CGUNICORN_LLHTTP_DIR"]
    server = serve(None, command=[str(ROOT / "dev"), "serve"], spec="", env=env)
    assert server.get().status == 200
    assert server.stop() == 0


def test_unit_test_that_is_named() -> None:
    """By `meson test`, alone, and with the name of one of its cases."""
    program = ROOT / "build/unit/tests/unit/conn_test"
    rows = names_in("tests/unit/meson.build", r"^  '(\w+)': \[")
    assert "conn" in rows
    if not program.exists():
        pytest.skip("./dev test makes it")
    case = re.search(r"^CG_TEST\((\w+)\)", (ROOT / "tests/unit/conn_test.c").read_text(), re.M)
    for arguments in ([], [case[1]]):
        done = subprocess.run([program, *arguments], capture_output=True, timeout=10 * PATIENCE)
        assert done.returncode == 0, done.stderr


def test_requirements_that_are_named_exist() -> None:
    named = {
        path
        for page in shown.PAGES
        for path in re.findall(r"pip install -r ([\w/.]+)", page.read_text())
    }
    assert len(named) >= 2
    assert all((ROOT / path).exists() for path in named)


def test_the_command_is_on_the_path() -> None:
    assert shutil.which("cgunicorn", path=PATH)
