# SPDX-License-Identifier: MIT
"""What docs/lab.md shows of the lab's output has the form of the lab's output."""

from __future__ import annotations

import re
from pathlib import Path

import shown
from harness import run_command

OUTPUT = shown.block("docs/lab.md", "text")
APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'x']\n"


def form(line: str) -> str:
    """A line without what a measurement finds, and without the widths that follow from it."""
    line = re.sub(r">?=? ?[\d,.]+( (ms|s|us|µs)\b)?", " N", line)
    return re.sub(r"(\b(sync|async)\b|-+|\s)+", " ", line).strip()


def test_output(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    short = ("--seconds", "0.1", "--sleep", "0.1", "--clients", "2")
    done = run_command(tmp_path, "lab", "app:app", "--grid", "sync:1 async:1x2", *short)
    assert done.returncode == 0, done.stderr
    table = done.stdout.split("\n\n")[0]
    printed = [line for line in f"{done.stderr}\n{table}".splitlines() if line.strip()]
    forms = {form(line) for line in OUTPUT.text.splitlines()}
    assert [line for line in printed if form(line) not in forms] == []
    assert any("requests/s; behind a slow request" in line for line in printed)
