# SPDX-License-Identifier: MIT
"""Mutated requests against the running server: whatever arrives, it answers in HTTP or closes, and
no worker dies. Every mutant follows from a seed and its number; both are told on failure.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus
import pytest
from harness import Server

Serve = Callable[..., Server]

#: Each of these makes the parser take more than it otherwise would.
LENIENT = """
forwarded_allow_ips = "*"
forwarder_headers = "*"
header_map = "dangerous"
permit_obsolete_folding = True
permit_unconventional_http_method = True
permit_unconventional_http_version = True
casefold_http_method = True
strip_header_spaces = True
proxy_protocol = True
"""
#: CGUNICORN_TEST_SEED asks for other mutants than usual.
SEED = int(os.environ.get("CGUNICORN_TEST_SEED", "9112"))
MUTANTS = 6000
AT_ONCE = 4

#: Reads everything. HEAD gets no body, so that a client that does not know what it sent can tell
#: where an answer ends.
APP = """
def app(environ, start_response):
    n = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [str(n).encode()]
"""

#: What parsers stumble over.
SPICE = (
    *(bytes([b]) for b in b'\0\t\n\v\r "#%+,-0:;?\x7f\x80\x85\xa0\xff'),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"0\r\n\r\n",
    b"Content-Length: 4\r\n",
    b"Content_Length: 4\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: b\r\n",
    b"18446744073709551616",
    b"ffffffffffffffff",
    b" HTTP/1.1",
    b"\r\n ",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\1\2\3\4\5\6\7\x08\0\1\0\2",
    b"a" * 5000,
)


def mutant(number: int, seeds: list[bytes]) -> bytes:
    dice = random.Random(f"{SEED} {number}")
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = dice.choice(MUTATIONS)(dice, data, seeds)
    return bytes(data)


def flip_bit(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data


def add_spice(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    at = dice.randint(0, len(data))
    data[at:at] = dice.choice(SPICE)
    return data


def put_in_front(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    return bytearray(dice.choice(SPICE)) + data


def replace_byte(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    if data:
        at = dice.randrange(len(data))
        data[at : at + 1] = dice.choice(SPICE)
    return data


def remove(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    at = dice.randint(0, len(data))
    del data[at : at + dice.randint(1, 5)]
    return data


def repeat_line(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    lines = data.splitlines(keepends=True) or [bytearray()]
    lines.insert(dice.randint(0, len(lines)), dice.choice(lines))
    return bytearray(b"".join(lines))


def splice_line(dice: random.Random, data: bytearray, seeds: list[bytes]) -> bytearray:
    lines = data.splitlines(keepends=True)
    foreign = dice.choice(seeds).splitlines(keepends=True) or [b""]
    lines.insert(dice.randint(0, len(lines)), bytearray(dice.choice(foreign)))
    return bytearray(b"".join(lines))


def splice_request(dice: random.Random, data: bytearray, seeds: list[bytes]) -> bytearray:
    return data[: dice.randint(0, len(data))] + dice.choice(seeds)


def truncate(dice: random.Random, data: bytearray, _: list[bytes]) -> bytearray:
    return data[: dice.randint(0, len(data))]


MUTATIONS = (
    flip_bit,
    add_spice,
    put_in_front,
    replace_byte,
    remove,
    repeat_line,
    splice_line,
    splice_request,
    truncate,
)


def outcome(server: Server, number: int, seeds: list[bytes]) -> str | None:
    """Sends one mutant, by TCP or by a unix socket; what is wrong with what comes back."""
    data = mutant(number, seeds)
    try:
        with server.connect() if number % 2 else server.connect_unix("app.sock") as client:
            client.send(data)
            client.shut()
            client.responses()
    except (AssertionError, EOFError, OSError, ValueError) as e:
        return f"seed {SEED}, mutant {number}: {e!r} after {data!r}"
    return None


@pytest.mark.parametrize("settings", ["", LENIENT], ids=["strict", "lenient"])
def test_mutated_requests_are_answered_or_closed(
    serve: Serve, worker_class: str, tmp_path: Path, settings: str
) -> None:
    (tmp_path / "settings.py").write_text(settings)
    cases = corpus.own()
    # Nearly right is what gets deepest.
    seeds = [case.raw for case in cases] + 3 * [c.raw for c in cases if c.refusal is None]
    args = ("-c", "settings.py", "-k", worker_class, "--keep-alive", "30")
    server = serve(APP, *args, bind=["127.0.0.1:0", "unix:app.sock"])
    workers = server.wait_workers(1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [w for w in pool.map(lambda n: outcome(server, n, seeds), range(MUTANTS)) if w]
    assert not wrong, "\n".join(wrong[:5])
    assert server.workers() == workers, f"seed {SEED}\n{server.log[-5000:]}"
    assert "Traceback" not in server.log, f"seed {SEED}\n{server.log[-5000:]}"
    assert server.get().status == 200
