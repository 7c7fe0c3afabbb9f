# SPDX-License-Identifier: MIT
"""The request corpora against the running server: over TCP and unix sockets, in five ways of
sending. What each case must get is said in corpus.py and what that reads.

Good requests are answered and their environ and body match. A bad one gets one refusal, the
connection ends, and no byte behind it is taken for a request.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpus
import pytest
from corpus import Case, Settings
from harness import Response, Server

#: Shows environ and body, read in a way that differs from call to call; GET /calls tells how many
#: requests were executed since it was last asked, and which targets.
ECHO = """
import itertools, json

def by_bytes(stream):
    return b"".join(iter(lambda: stream.read(1), b""))

def by_lines(stream):
    return b"".join(iter(stream.readline, b""))

readers = itertools.cycle([lambda stream: stream.read(), by_bytes, by_lines, b"".join])
calls = []

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    if environ["RAW_URI"] == "/calls":
        told = json.dumps(calls)
        calls.clear()
        return [told.encode()]
    calls.append(environ["RAW_URI"])
    shown = {k: v for k, v in environ.items() if isinstance(v, str)}
    shown["_body"] = next(readers)(environ["wsgi.input"]).decode("latin-1")
    return [json.dumps(shown).encode()]
"""
#: Short enough for every limit that a case sets.
CALLS = b"GET /calls HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLED = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"
#: Connections that are open at the same time.
AT_ONCE = 4

TRANSPORTS = ("tcp", "unix")
ServerFor = Callable[[Settings], Server]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[object, Server]]:
    """The servers of this module, by worker class and settings: each serves many tests."""
    running: dict[object, Server] = {}
    yield running
    for server in running.values():
        server.close()


@pytest.fixture
def server_for(
    servers: dict[object, Server], worker_class: str, tmp_path_factory: pytest.TempPathFactory
) -> ServerFor:
    def find(settings: Settings) -> Server:
        key = (worker_class, settings)
        if key not in servers:
            servers[key] = start(tmp_path_factory.mktemp("corpus"), worker_class, settings)
        return servers[key]

    return find


def start(folder: Path, worker_class: str, settings: Settings) -> Server:
    lines = [f"{name} = {value!r}\n" for name, value in settings]
    (folder / "settings.py").write_text("".join(lines))
    args = ("-c", "settings.py", "-k", worker_class, "--keep-alive", "30")
    return Server(folder, ECHO, args, bind=["127.0.0.1:0", "unix:app.sock"])


def converse(server: Server, transport: str, data: Sequence[bytes], end: bool) -> list[Response]:
    """Sends the pieces, ends the sending side if asked to, and reads until the server closes."""
    with server.connect_unix("app.sock") if transport == "unix" else server.connect() as client:
        client.send_pieces(data)
        if end:
            client.shut()
        return client.responses()


def run(server: Server, transport: str, way: str, case: Case) -> str | None:
    """Runs one case; what is wrong with its outcome."""
    raw = case.raw if case.refusal is None or case.needs_end else case.raw + SMUGGLED
    end = case.refusal is None or case.needs_end
    try:
        answers = converse(server, transport, corpus.pieces(way, raw, case.name), end)
    except (AssertionError, EOFError, OSError) as e:
        return f"{case.name}: {e!r}"
    got = [r.status for r in answers if r.status >= 200]
    good, refused = got[: len(case.good)], got[len(case.good) :]
    if good != [200] * len(case.good):
        return f"{case.name}: answers {got} instead of {len(case.good)} times 200"
    if case.refusal is None and refused not in ([], [400] if case.has_surplus else []):
        return f"{case.name}: answers {refused} to nothing"
    if case.refusal is not None and not (len(refused) == 1 and refused[0] in case.refusal):
        return f"{case.name}: answers {refused} instead of {case.refusal}"
    wrong = [
        mismatch(case, expected, json.loads(answer.body), transport)
        for expected, answer in zip(case.good, answers, strict=False)
        if answer.status == 200
    ]
    return next((f"{case.name}: {w}" for w in wrong if w), None)


def mismatch(case: Case, expected: dict, environ: dict, transport: str) -> str | None:
    expected = dict(expected)
    if transport == "unix" and "REMOTE_ADDR" in expected and "PROXY_PROTOCOL" not in expected:
        expected["REMOTE_ADDR"] = ""
    for key, value in expected.items():
        if environ.get(key) != value:
            return f"{key} is {environ.get(key)!r} instead of {value!r}"
    if case.environ_is_complete:
        sent = {k for k in environ if k.startswith(("HTTP_", "CONTENT_", "PROXY_"))}
        if surplus := sent - expected.keys():
            return f"{surplus} in environ"
    return None


def check(server: Server, transport: str, way: str, cases: Sequence[Case]) -> None:
    converse(server, transport, [CALLS], True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        wrong = [w for w in pool.map(lambda c: run(server, transport, way, c), cases) if w]
    calls = json.loads(converse(server, transport, [CALLS], True)[0].body)
    assert not wrong, "\n".join(wrong)
    assert "/evil" not in calls
    assert len(calls) == sum(len(case.good) for case in cases), calls


def groups(cases: Sequence[Case]) -> list:
    """The cases by their settings: one parameter for all that can share a server."""
    ordered = sorted(cases, key=lambda case: repr(case.settings))
    return [
        pytest.param(list(group), id=",".join(f"{n}={v}" for n, v in settings) or "default")
        for settings, group in itertools.groupby(ordered, key=lambda case: case.settings)
    ]


every_way = pytest.mark.parametrize("way", corpus.WAYS)
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)
SHARED = corpus.shared()
needs_shared = pytest.mark.skipif(
    not SHARED, reason=f"no gunicorn-requests.json; {corpus.SHARED_VARIABLE} may name its folder"
)


@every_way
@every_transport
@pytest.mark.parametrize("cases", groups(corpus.own()))
def test_own_corpus(server_for: ServerFor, transport: str, way: str, cases: list[Case]) -> None:
    check(server_for(cases[0].settings), transport, way, cases)


@needs_shared
@every_way
@every_transport
@pytest.mark.parametrize("cases", groups(SHARED))
def test_gunicorns_corpus(
    server_for: ServerFor, transport: str, way: str, cases: list[Case]
) -> None:
    check(server_for(cases[0].settings), transport, way, cases)


@needs_shared
def test_table_of_differences_says_what_gunicorn_answers() -> None:
    cases = {record["name"]: record for record in corpus.records()}
    for name, (gunicorn, ours) in corpus.differences().cases.items():
        assert gunicorn == corpus.recorded(cases[name], gunicorn), name
        assert ours != gunicorn, f"{name} does not differ"
