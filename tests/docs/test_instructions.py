# SPDX-License-Identifier: MIT
"""bench/instructions.py without valgrind: it reads what callgrind writes, and its servers start."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from harness import run_command
from shown import ROOT

_spec = importlib.util.spec_from_file_location("instructions", ROOT / "bench/instructions.py")
assert _spec and _spec.loader
instructions = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(instructions)

#: Two functions in two files; names are written once, lines are absolute or relative.
CALLGRIND = """# callgrind format
version: 1
positions: line
events: Ir

fl=(1) ../../pyext/app_wsgi.c
fn=(1) begin
10 5
+2 3
cfi=(2) other.c
cfn=(2) helper
calls=2 40
* 20
-1 1

fl=(2)
fn=(2)
40 14
fi=(1)
+1 6
fe=(2)
fn=(1)
10 7
"""


def test_costs_of_lines_and_of_functions_with_what_they_call(tmp_path: Path) -> None:
    (tmp_path / "callgrind.out.1").write_text(CALLGRIND)
    costs = instructions.Costs(tmp_path / "callgrind.out.1")
    assert costs.total == 5 + 3 + 1 + 14 + 6 + 7
    assert costs.functions == {"app_wsgi.c:begin": 29, "other.c:helper": 20, "other.c:begin": 7}
    wsgi = "../../pyext/app_wsgi.c"
    assert costs.lines == {
        (wsgi, 10): 5,
        (wsgi, 12): 3,
        (wsgi, 11): 1,
        ("other.c", 40): 14,
        (wsgi, 41): 6,
        ("other.c", 10): 7,
    }


def test_lines_about_hooks_are_found() -> None:
    source = (ROOT / "pyext/app_wsgi.c").read_text().splitlines()
    assert len([line for line in source if instructions.HOOK_LINE.search(line)]) >= 6


@pytest.mark.parametrize("function", [f for fs in instructions.FUNCTIONS.values() for f in fs])
def test_functions_exist(function: str) -> None:
    file, name = function.split(":")
    [path] = [p for p in ROOT.glob(f"*/**/{file}") if "build" not in p.parts]
    assert f" {name}(" in path.read_text()


@pytest.mark.parametrize("name", instructions.SERVERS)
def test_servers_can_be_started(tmp_path: Path, name: str) -> None:
    args, config = instructions.SERVERS[name]
    (tmp_path / "app.py").write_text(instructions.APP)
    (tmp_path / "gunicorn.conf.py").write_text(config)
    done = run_command(tmp_path, "--check-config", *args, "app:app")
    assert (done.returncode, done.stderr) == (0, "")
