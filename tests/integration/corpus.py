# SPDX-License-Identifier: MIT
"""The request corpora as data, one form for both: our own (tests/corpus, whose README has the form
of its files) and Gunicorn's test cases with its recorded answers, where that file is present.

What a request must get is said in one place each: for our own cases in the case and in
server/http/fault.def, for Gunicorn's in the recorded answers and in docs/differences-http.md, whose
tables are read here.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
OWN = TOP / "tests/corpus"
DIFFERENCES = TOP / "docs/differences-http.md"
SHARED_VARIABLE = "CGUNICORN_SHARED_CORPUS"

Environ = dict[str, str]
Settings = tuple[tuple[str, object], ...]

#: For a request with two mistakes: either may be the one that is told.
ANY_REFUSAL = range(400, 600)


@dataclass(frozen=True)
class Case:
    """The bytes of one connection and what must come of them: the good requests in their order,
    each with what its environ must hold, and then, perhaps, a refusal."""

    name: str
    raw: bytes
    settings: Settings
    good: tuple[Environ, ...]
    #: The status of the refusal may be one of these; None when all requests are good.
    refusal: Container[int] | None = None
    #: The refusal comes only when the client has finished sending.
    needs_end: bool = False
    #: Bytes behind the last good request may stand there: they are refused or they are not.
    has_surplus: bool = False
    #: All HTTP_* keys and the like are listed in `good`, not only some.
    environ_is_complete: bool = False


# Our own corpus.


def own() -> list[Case]:
    """Every file of tests/corpus."""
    return [_own_case(path) for path in sorted(OWN.glob("*/*.http"))]


def _own_case(path: Path) -> Case:
    notes, raw = _load(path)
    verdict, _, _ = notes[0].partition(" ")
    settings: dict[str, object] = {}
    requests_n, body = 1, b""
    for note in notes[1:]:
        kind, _, rest = note.partition(" ")
        if kind == "set":
            name, _, number = rest.partition(" ")
            settings[name] = int(number)
        elif kind == "requests":
            requests_n = int(rest)
        elif kind == "body":
            body = _unescape(rest)
        else:
            raise ValueError(f"{path}: {note}")
    valid = verdict == "ok"
    good: list[Environ] = [{} for _ in range(requests_n if valid else requests_n - 1)]
    if valid:
        good[-1] = {"_body": body.decode("latin-1")}
    return Case(
        f"{path.parent.name}/{path.stem}",
        raw,
        tuple(settings.items()),
        tuple(good),
        None if valid else (fault_statuses()[verdict],),
        needs_end=verdict == "INCOMPLETE",
        has_surplus=valid,
    )


def _load(path: Path) -> tuple[list[str], bytes]:
    notes, data = [], ""
    for line in path.read_text("ascii").splitlines():
        if line.startswith("#") and not data:
            notes.append(line[2:])
        else:
            data += line
    return notes, _unescape(data)


def _unescape(text: str) -> bytes:
    single = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
    return re.sub(
        r"\\(x..|.)",
        lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" and len(m[1]) == 3 else single[m[1]],
        text,
    ).encode("latin-1")


@functools.cache
def fault_statuses() -> dict[str, int]:
    """The rows of server/http/fault.def: name to status."""
    text = (TOP / "server/http/fault.def").read_text()
    return {name: int(status) for name, status in re.findall(r"CG_FAULT\((\w+), (\d+),", text)}


# Gunicorn's cases.


def shared_path() -> Path:
    """The file of Gunicorn's cases, which need not exist."""
    folder = os.environ.get(SHARED_VARIABLE)
    return (Path(folder) if folder else TOP.parent / "shared/corpus") / "gunicorn-requests.json"


@dataclass(frozen=True)
class Answer:
    """A status, 0 for none, and entries of environ: number of the request, key, value."""

    status: int
    environ: tuple[tuple[int, str, str], ...] = ()


NOTHING = Answer(0)


@dataclass(frozen=True)
class Differences:
    """docs/differences-http.md: Gunicorn's answer and ours where we answer otherwise on purpose."""

    cases: dict[str, tuple[Answer, Answer]]
    rules: dict[str, tuple[Answer, Answer]]


@functools.cache
def differences() -> Differences:
    """Reads the two tables of the document, by their first column's title."""
    found: dict[str, dict[str, tuple[Answer, Answer]]] = {"Case": {}, "Rule": {}}
    table = None
    for line in DIFFERENCES.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if len(cells) != 5:
            table = None
        elif cells[0] in found:
            table = found[cells[0]]
        elif table is not None and not set(cells[0]) <= set("-:"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                table[name] = (_answer(cells[1]), _answer(cells[2]))
    return Differences(found["Case"], found["Rule"])


def _answer(cell: str) -> Answer:
    """`200`, `none`, or `200, PATH_INFO=x` with `#2` before an entry of the second request; values
    are escaped as our corpus is."""
    status, *entries = [part.strip(" `") for part in cell.split(",")]
    environ = []
    for entry in entries:
        found = re.fullmatch(r"(?:#(\d) )?([A-Za-z_.]+)=(.*)", entry)
        assert found, f"{DIFFERENCES.name}: {cell}"
        environ.append((int(found[1] or 1), found[2], _unescape(found[3]).decode("latin-1")))
    return Answer(0 if status == "none" else int(status), tuple(environ))


def shared() -> list[Case]:
    """Gunicorn's cases, none when the file is not there. A case without the Host that RFC 9112
    section 3.2 requires occurs twice: as it is, refused, and with a Host, judged by its rule."""
    return [case for record in records() for case in _shared_cases(record)]


def records() -> list[dict]:
    """Gunicorn's cases as they are recorded."""
    path = shared_path()
    return json.loads(path.read_text()) if path.exists() else []


def recorded(record: dict, wanted: Answer = NOTHING) -> Answer:
    """What Gunicorn answered to the last request, with the environ entries that `wanted` has."""
    lines = record["gunicorn_gthread"]["status"]
    environs = record["gunicorn_gthread"].get("env", [])
    entries = tuple((n, key, environs[n - 1].get(key, "")) for n, key, _ in wanted.environ)
    return Answer(int(lines[-1].split()[1]) if lines else 0, entries)


def _shared_cases(record: dict) -> Iterator[Case]:
    raw = bytes.fromhex(record["raw_hex"])
    case = Case(
        record["name"],
        raw,
        tuple(sorted(record["cfg"].items())),
        tuple(_good_environs(record)),
        _refusal(record),
        needs_end=_is_truncated(record),
        environ_is_complete="expect" in record,
    )
    if not _lacks_host(record, raw):
        yield case
        return
    yield _without_host(case)
    with_host = _add_host(raw)
    yield Case(
        f"{case.name}+host",
        with_host,
        case.settings,
        tuple(_with_host_key(e) for e in case.good),
        case.refusal,
        needs_end=case.needs_end,
        environ_is_complete=True,
    )


def _expected_answer(record: dict) -> Answer:
    """Ours: the document's where it lists the case, else Gunicorn's."""
    gunicorn = recorded(record)
    if record["name"] in differences().cases:
        return differences().cases[record["name"]][1]
    if gunicorn.status == 0:
        return differences().rules["chunk errors"][1]
    return gunicorn


def _refusal(record: dict) -> Container[int] | None:
    status = _expected_answer(record).status
    return None if 200 <= status < 300 else (status,)


def _good_environs(record: dict) -> list[Environ]:
    if _refusal(record) is not None:
        return []
    environs = [dict(e) for e in record["gunicorn_gthread"].get("env", [{}])]
    for number, key, value in _expected_answer(record).environ:
        environs[number - 1][key] = value
    return [_decoded(environ) for environ in environs]


def _decoded(environ: Environ) -> Environ:
    """By the rule for chunked bodies: Gunicorn's entries give way to ours, `length` is a number."""
    gunicorn, ours = differences().rules["chunked body"]
    if any(environ.get(key, "").lower() != value for _, key, value in gunicorn.environ):
        return environ
    dropped = {key for _, key, _ in gunicorn.environ}
    length = str(len(environ["_body"]))
    added = {key: value.replace("length", length) for _, key, value in ours.environ}
    return {**{k: v for k, v in environ.items() if k not in dropped}, **added}


def _is_truncated(record: dict) -> bool:
    """Gunicorn takes the end of the connection for the end of a body, whatever its length."""
    lengths = [
        (dict(e["headers"]).get("CONTENT-LENGTH"), e["body"]) for e in record.get("expect", ())
    ]
    return record.get("exception") in ("NoMoreData", "ChunkMissingTerminator") or any(
        length and int(length) > len(body) for length, body in lengths
    )


def _lacks_host(record: dict, raw: bytes) -> bool:
    if "expect" in record:
        names = [[h[0] for h in e["headers"]] for e in record["expect"]]
        versions = [tuple(e["version"]) for e in record["expect"]]
        return any(v >= (1, 1) and "HOST" not in n for v, n in zip(versions, names, strict=True))
    return b" HTTP/1.1\r\n" in raw and not re.search(rb"(?i)\nhost[ \t]*:", raw)


def _without_host(case: Case) -> Case:
    """The requests before the first one that lacks Host are good, that one is refused."""
    good = []
    for environ in case.good:
        if environ["SERVER_PROTOCOL"] == "HTTP/1.1" and "HTTP_HOST" not in environ:
            break
        good.append(environ)
    status = differences().rules["no Host"][1].status
    refusal = (status,) if case.refusal is None else ANY_REFUSAL
    return Case(case.name, case.raw, case.settings, tuple(good), refusal, environ_is_complete=True)


def _add_host(raw: bytes) -> bytes:
    return re.sub(rb"( HTTP/1\.1\r\n)", rb"\1Host: a\r\n", raw)


def _with_host_key(environ: Environ) -> Environ:
    return {**environ, "HTTP_HOST": "a"} if environ["SERVER_PROTOCOL"] == "HTTP/1.1" else environ


# Ways of sending.

WAYS = ("whole", "lines", "bytes", "splits", "first")
SEED = 9112


def pieces(way: str, data: bytes, name: str = "") -> list[bytes]:
    """The data cut as a way of sending wants it; random splits depend on SEED and name alone."""
    if way == "lines":
        return data.splitlines(keepends=True)
    if way == "bytes":
        return [data[i : i + 1] for i in range(len(data))]
    if way == "first":
        return [data[:1], data[1:]]
    if way == "splits":
        dice = random.Random(f"{SEED} {name}")
        at, cut = 0, []
        while at < len(data):
            step = dice.randint(1, max(2, len(data) // 10))
            cut.append(data[at : at + step])
            at += step
        return cut
    return [data]
