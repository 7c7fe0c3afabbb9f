# SPDX-License-Identifier: MIT
"""What the pages show: blocks of code with the place where each stands. A test that asks for a
block by `block()`, or for the commands of a program by `commands()`, answers for it; what nobody
has asked for is found by test_pages.py."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("*/README.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*/README.md"),
        *ROOT.glob("tests/*/README.md"),
    ]
)

#: A block begins and ends so; within a list it is indented by less than a block without a fence.
_FENCE = re.compile(r" {0,3}```(.*)")


@dataclass(frozen=True)
class Block:
    """`line` is the first of the text's, counted from 1. Without a fence there is no language."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


#: What a command may begin with.
_VARIABLES = re.compile(r"""(\w+=('[^']*'|"[^"]*"|\S)*\s+)*""")


@dataclass(frozen=True)
class Command:
    """A line of a block of shell."""

    block: Block
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.block.page}:{self.line}"

    @property
    def program(self) -> str:
        """Its first word that sets no variable."""
        return _VARIABLES.sub("", self.text).split()[0]


def _fenced(page: str, lines: list[str], start: int) -> tuple[Block, int]:
    """The block whose fence is the line `start`, and the line of its end."""
    opening = _FENCE.fullmatch(lines[start])
    assert opening
    end = next(
        (n for n in range(start + 1, len(lines)) if lines[n].strip() == "```"), len(lines) - 1
    )
    text = textwrap.dedent("\n".join(lines[start + 1 : end])) + "\n"
    return Block(page, start + 2, opening[1].strip(), text), end


def _without_fence(page: str, lines: list[str], n: int) -> Block | None:
    """Markdown takes indented lines behind an empty one for code, too."""
    if not re.match(r" {4,}\S", lines[n]) or (n > 0 and lines[n - 1].strip()):
        return None
    return Block(page, n + 1, "", lines[n] + "\n")


def read(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page."""
    lines = text.splitlines()
    n = 0
    while n < len(lines):
        if _FENCE.fullmatch(lines[n]):
            block, n = _fenced(page, lines, n)
            yield block
        elif found := _without_fence(page, lines, n):
            yield found
        n += 1


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


BLOCKS = [block for page in PAGES for block in read(name(page), page.read_text())]

_claimed_blocks: set[Block] = set()
_claimed_programs: set[str] = set()


def block(page: str, language: str, opening: str = "") -> Block:
    """The one block of that page and language which begins so."""
    found = [
        b for b in BLOCKS if (b.page, b.language) == (page, language) and b.text.startswith(opening)
    ]
    assert len(found) == 1, f"{page} has {len(found)} blocks of {language} that begin {opening!r}"
    _claimed_blocks.add(found[0])
    return found[0]


def _lines(block: Block) -> Iterator[Command]:
    for n, line in enumerate(block.text.splitlines()):
        text = re.sub(r"(^|\s+)#.*", "", line)
        if text:
            yield Command(block, block.line + n, text)


def all_commands() -> list[Command]:
    return [c for b in BLOCKS if b.language == "sh" for c in _lines(b)]


def commands(program: str) -> list[Command]:
    """Those of a program which stand in no block that a test has asked for as a whole."""
    _claimed_programs.add(program)
    return [c for c in all_commands() if c.program == program and c.block not in _claimed_blocks]


def unclaimed_blocks() -> list[Block]:
    """All but those of shell, which consist of commands."""
    return [b for b in BLOCKS if b.language != "sh" and b not in _claimed_blocks]


def unclaimed_commands() -> list[Command]:
    return [
        c
        for c in all_commands()
        if c.program not in _claimed_programs and c.block not in _claimed_blocks
    ]
