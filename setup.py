# SPDX-License-Identifier: MIT
"""Builds the extension module by calling Meson, which alone knows sources, flags and libraries.

What pip cannot pass on comes from the environment:

CGUNICORN_LLHTTP_DIR  folder with the C sources of llhttp, where no libllhttp is installed
CGUNICORN_BUILD_DIR   Meson's build folder, build/<name of Python's ABI> by default
CGUNICORN_MESON_ARGS  more arguments of `meson setup`, quoted as in a shell
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def run_meson(*args: str) -> None:
    """Runs Meson under this interpreter, which is how it knows for which one to build."""
    # Meson looks for ninja on PATH; an environment that is not activated is not on it.
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "mesonbuild.mesonmain", *args]
    if subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False).returncode:
        # SystemExit, since setuptools prints a traceback for anything else.
        raise SystemExit(f"cgunicorn was not built: meson {args[0]} failed, the reason is above.")


def meson_build() -> Path:
    """Builds the extension module, or what changed of it, and returns where it lies."""
    abi = sysconfig.get_config_var("SOABI")
    build = ROOT / (os.environ.get("CGUNICORN_BUILD_DIR") or f"build/{abi}")
    llhttp = os.environ.get("CGUNICORN_LLHTTP_DIR", "")
    options = [
        f"-Dllhttp_dir={Path(llhttp).resolve() if llhttp else ''}",
        *shlex.split(os.environ.get("CGUNICORN_MESON_ARGS", "")),
    ]
    # A build folder remembers the Meson that made it. Under build isolation that one is gone the
    # next time, so a folder that exists is always set up again.
    again = ["--reconfigure"] if (build / "build.ninja").exists() else []
    run_meson("setup", *again, *options, str(build), str(ROOT))
    run_meson("compile", "-C", str(build))
    return build / "pyext" / f"_cgunicorn{sysconfig.get_config_var('EXT_SUFFIX')}"


class MesonBuildExt(build_ext):
    """Puts Meson's module where setuptools expects the one that it would have compiled."""

    def run(self) -> None:
        (extension,) = self.extensions
        module = meson_build()
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        if self.inplace:
            # A link, so that a later `meson compile` is all that an editable install needs.
            target.symlink_to(module)
        else:
            shutil.copy2(module, target)


setup(
    ext_modules=[Extension("cgunicorn._cgunicorn", sources=[])],
    cmdclass={"build_ext": MesonBuildExt},
)
