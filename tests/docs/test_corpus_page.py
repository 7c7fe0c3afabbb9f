# SPDX-License-Identifier: MIT
"""What the corpus's README shows of its files, and the Python that reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import corpus
import shown

PAGE = "tests/corpus/README.md"
FILE = shown.block(PAGE, "text")
READER = shown.block(PAGE, "python")


def reader() -> Callable[[Path], tuple[list[str], bytes]]:
    names: dict[str, object] = {}
    exec(compile(READER.text, str(READER), "exec"), names)
    return names["load"]  # type: ignore[return-value]


def test_the_reader_reads_all_files() -> None:
    load = reader()
    read = {case.name: case.raw for case in corpus.own()}
    for path in corpus.OWN.glob("*/*.http"):
        notes, data = load(path)
        assert data == read[f"{path.parent.name}/{path.stem}"]
        assert re.match(r"ok |[A-Z0-9_]+ ", notes[0])


def test_the_file_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "shown.http").write_text(FILE.text)
    notes, data = reader()(tmp_path / "shown.http")
    assert data == b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"
    assert notes[0].split()[0] in corpus.fault_statuses()
    assert re.fullmatch(r"set [a-z_]+ \d+", notes[1])
