# SPDX-License-Identifier: MIT
"""The walls between the layers, as the sources and the built libraries show them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cgunicorn._cgunicorn
import pytest

ROOT = Path(__file__).resolve().parents[2]
INCLUDE_MATRIX = ROOT / "tests/lint/include_matrix.py"

#: Library -> the libraries that it may call. The order is that of linking, upper layers first.
MAY_CALL = {
    "workers": ["arbiter", "http", "request", "net", "base"],
    "arbiter": ["net", "base"],
    "http": ["uwsgi", "request", "base"],
    "uwsgi": ["request", "base"],
    "request": ["base"],
    "net": ["base"],
    "base": [],
}


def symbols(file: Path, *options: str) -> set[str]:
    """The names that nm lists, without their addresses, types and versions."""
    command = ["nm", "--format=posix", *options, str(file)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # An archive's listing has a heading for each of its objects.
    return {line.split()[0].partition("@")[0] for line in lines if line and not line.endswith(":")}


@pytest.fixture(scope="module")
def libraries() -> dict[str, Path]:
    """The layers' libraries, beside the module that an editable install links to."""
    module = Path(cgunicorn._cgunicorn.__file__).resolve()
    found = {path.name[len("libcg_") : -2]: path for path in module.parents[1].rglob("libcg_*.a")}
    if not found:
        pytest.skip("the installed module is a copy, its build folder is not at hand")
    return found


def include_matrix(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(INCLUDE_MATRIX), str(root)], capture_output=True, text=True
    )


def test_the_sources_keep_the_include_matrix() -> None:
    result = include_matrix(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("server/base/num.c", '#include "server/net/bind.h"'),
        ("server/http/parser.c", '#include "server/arbiter/arbiter.h"'),
        ("server/arbiter/pool.c", '#include "server/http/conn.h"'),
        ("server/arbiter/pool.c", '#include "workers/worker.h"'),
        ("workers/sync.c", '#include "server/arbiter/pool.h"'),
        ("workers/sync.c", "#include <Python.h>"),
        ("server/http/head.c", "#include <llhttp.h>"),
        ("server/net/bind.c", "#include <uv.h>"),
        ("server/net/bind.c", '#include "bind.h"'),
    ],
)
def test_a_breach_of_the_include_matrix_is_found(tmp_path: Path, path: str, line: str) -> None:
    """Each line is one that must not be in the file, which is otherwise as it should be."""
    source = tmp_path / path
    source.parent.mkdir(parents=True)
    source.write_text(f"/* SPDX-License-Identifier: MIT\n */\n{line}\n")
    header = tmp_path / line.split()[1].strip('"<>')
    header.parent.mkdir(parents=True, exist_ok=True)
    header.write_text("/* SPDX-License-Identifier: MIT\n */\n")
    result = include_matrix(tmp_path)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{path}:3: "), result.stdout


@pytest.mark.parametrize(
    "line", ["int x = time(NULL);", "int x = cg_clock_wall_s();", "int x = CLOCK_REALTIME;"]
)
def test_a_use_of_the_wall_clock_is_found(tmp_path: Path, line: str) -> None:
    source = tmp_path / "workers/sync.c"
    source.parent.mkdir()
    source.write_text(f"/* SPDX-License-Identifier: MIT\n */\n{line}\n")
    result = include_matrix(tmp_path)
    assert result.stdout.startswith("workers/sync.c:3: the wall clock"), result.stdout


def test_the_extension_exports_only_its_init_function() -> None:
    module = Path(cgunicorn._cgunicorn.__file__)
    assert symbols(module, "--dynamic", "--defined-only") == {"PyInit__cgunicorn"}


def test_no_layer_below_the_binding_calls_python_or_a_foreign_loop(
    libraries: dict[str, Path],
) -> None:
    assert sorted(libraries) == sorted(MAY_CALL)
    for name, path in libraries.items():
        foreign = ("Py", "_Py") if name == "workers" else ("Py", "_Py", "uv_")
        calls = {s for s in symbols(path, "--undefined-only") if s.startswith(foreign)}
        assert not calls, f"{name} calls {calls}"


def test_each_layer_calls_only_the_layers_below_it(libraries: dict[str, Path]) -> None:
    for name, below in MAY_CALL.items():
        offered = set().union(
            *(symbols(libraries[n], "--defined-only", "--extern-only") for n in [name, *below])
        )
        wanted = {s for s in symbols(libraries[name], "--undefined-only") if s.startswith("cg_")}
        assert wanted <= offered, f"{name} calls {sorted(wanted - offered)}"
