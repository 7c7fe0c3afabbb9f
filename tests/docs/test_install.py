# SPDX-License-Identifier: MIT
"""README's ways to install: from a copy of this repository, as a clone is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import PATIENCE, Server, server_environment
from shown import ROOT

#: What a clone does not have.
NOT_CLONED = ("build", ".venv", ".git", "__pycache__", "*.so", "*.egg-info", ".hypothesis", "dist")
BUILDING = 20 * PATIENCE


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_CLONED), symlinks=True)
    return folder


def environment(**more: str) -> dict[str, str]:
    """Without the compiler and the sanitizers of those who run the tests."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("CGUNICORN_", "CC"))}
    env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', os.defpath)}"
    return {**env, **more}


def run(folder: Path, *command: object, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=BUILDING,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# llhttp, where no package has it as a library


def sources(at: Path) -> Path:
    """A folder as Debian's package node-llhttp has it. What is in the files nobody reads here."""
    folder, include = at / "usr/share/llhttp", at / "usr/share/include/llhttp"
    for made in (folder, include):
        made.mkdir(parents=True)
    for name in ("llhttp.c", "api.c", "http.c"):
        (folder / name).touch()
    (include / "llhttp.h").touch()
    return folder


@pytest.fixture
def no_library(tmp_path: Path) -> dict[str, str]:
    """pkg-config knows libuv, and no llhttp."""
    if Path("/usr/share/llhttp/llhttp.c").exists():
        pytest.skip("node-llhttp is installed, and goes before what is looked for here")
    known = tmp_path / "pkgconfig"
    known.mkdir()
    show = ["pkg-config", "--variable=pcfiledir", "libuv"]
    found = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(Path(found) / "libuv.pc", known)
    return {"PKG_CONFIG_LIBDIR": str(known)}


def compiled_of_llhttp(clone: Path, env: dict[str, str], *options: str) -> set[Path]:
    """The folders of the sources of llhttp that Meson has chosen."""
    build = clone / "build/one"
    # The extension itself is not what this is about.
    run(clone, "mesonbuild.mesonmain", "setup", "-Dextension=false", *options, build, **env)
    targets = json.loads((build / "meson-info/intro-targets.json").read_text())
    [target] = [t for t in targets if t["name"] == "llhttp"]
    return {Path(path).parent for s in target["target_sources"] for path in s.get("sources", [])}


def test_meson_finds_what_dev_has_unpacked(clone: Path, no_library: dict[str, str]) -> None:
    """So `pip install .` works in a clone in which `./dev` has run."""
    folder = sources(clone / "build/llhttp")
    assert compiled_of_llhttp(clone, no_library) == {folder}


def test_meson_finds_llhttp_in_a_folder_that_is_named(
    clone: Path, tmp_path: Path, no_library: dict[str, str]
) -> None:
    """What setup.py makes of CGUNICORN_LLHTTP_DIR."""
    sources(clone / "build/llhttp")
    folder = sources(tmp_path / "llhttp")
    assert compiled_of_llhttp(clone, no_library, f"-Dllhttp_dir={folder}") == {folder}


# pip


def test_pip_installs_what_serves(clone: Path, tmp_path: Path) -> None:
    """`pip install .`, but with the Meson that is here instead of one from the internet, and
    compiled in less time."""
    if (ROOT / "build/llhttp").exists():
        (clone / "build").mkdir()
        (clone / "build/llhttp").symlink_to(ROOT / "build/llhttp")
    site = tmp_path / "site"
    options = ["--quiet", "--disable-pip-version-check", "--no-build-isolation", "--no-deps"]
    given = os.environ.get("CGUNICORN_LLHTTP_DIR")
    env = {"CGUNICORN_MESON_ARGS": "-Dbuildtype=plain"}
    env.update({"CGUNICORN_LLHTTP_DIR": given} if given else {})
    run(clone, "pip", "install", *options, "--target", site, ".", **env)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"
    server = Server(folder, app, env={**server_environment(), "PYTHONPATH": str(site)})
    try:
        assert server.get().body == b"x"
        maps = Path(f"/proc/{server.pid}/maps")
        assert not maps.exists() or f"{site}/cgunicorn/_cgunicorn" in maps.read_text()
        assert server.stop() == 0
    finally:
        server.close()
