# SPDX-License-Identifier: MIT
"""What README.md and docs/ tell people to type works, and what they point to exists."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import run_command

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")])

#: The files that the commands speak of.
FILES = {
    "app.py": "def app(environ, start_response):\n    raise AssertionError('not to be called')\n"
    "application = app\n"
    "def create_app():\n    return app\n",
    "gunicorn.conf.py": "workers = 2\n",
    "uwsgi.ini": "[uwsgi]\nmodule = app\ncallable = app\n",
    "production.ini": "[app:main]\npaste.app_factory = factory:make\n"
    "[server:main]\nuse = egg:cgunicorn#main\n",
    "factory.py": "import app\ndef make(global_conf, **settings):\n    return app.app\n",
}
#: These end by themselves; all others are asked what they make of their arguments.
ENDS = {"--help", "--version", "--check-config", "--print-config", "lab"}
#: Of a shell's words, those that end a command.
SHELL = re.compile(r"[|&;<>]|\d>")


def code_lines(page: Path) -> Iterator[str]:
    """The lines of code blocks, which are indented or fenced here."""
    fenced = False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip().removeprefix("$ ")


def words(command: str) -> list[str]:
    found: list[str] = []
    for word in shlex.split(command, comments=True):
        if SHELL.match(word):
            break
        found.append(word)
    return found


def commands(program: str) -> list[tuple[str, str]]:
    return [
        (page.relative_to(ROOT).as_posix(), line)
        for page in PAGES
        for line in code_lines(page)
        if line.split(" ", 1)[0] == program
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(("page", "command"), commands("cgunicorn"))
def test_command_is_understood(folder: Path, page: str, command: str) -> None:
    arguments = words(command)[1:]
    if "-u" in arguments and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if arguments[0] == "lab":
        arguments = ["lab", "--help"]
    elif not ENDS & set(arguments):
        arguments.append("--check-config")
    result = run_command(folder, *arguments)
    assert result.returncode == 0, f"{page}: {command}\n{result.stderr}"
    assert "unknown" not in result.stderr


@pytest.mark.parametrize(("page", "command"), commands("./dev"))
def test_dev_command_exists(page: str, command: str) -> None:
    usage = subprocess.run([ROOT / "dev", "help"], capture_output=True, text=True, check=True)
    name = words(command)[1]
    assert re.search(rf"^  {name}\b", usage.stdout, re.MULTILINE), f"{page}: {command}"


def test_first_lines_show_how_to_start() -> None:
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:12])
    for command in ("./dev serve", "./dev test", "pip install ."):
        assert command in first


def test_tour_of_the_binding_names_every_file() -> None:
    binding = ROOT / "pyext"
    named = set(re.findall(r"`([\w./]+)`", (binding / "README.md").read_text()))
    files = {path.name for folder in (binding, binding / "cgunicorn") for path in folder.iterdir()}
    there = {name for name in files if name.endswith((".c", ".py")) and name != "__init__.py"}
    assert there - named == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
