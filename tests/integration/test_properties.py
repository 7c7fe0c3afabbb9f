# SPDX-License-Identifier: MIT
"""Properties of the parsing code in C, against models that are simple enough to be believed. The C
functions are called directly, by way of tests/props; percent-decoding belongs to the binding and is
asked of a running server.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import sys
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import pytest
from corpus import TOP
from harness import Server
from hypothesis import HealthCheck, configuration, example, given, settings
from hypothesis import strategies as st

Serve = Callable[..., Server]

configuration.set_hypothesis_home_dir(TOP / "build/hypothesis")
#: The same examples in every run; a counter-example is printed and needs no stored state.
steady = settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Props:
    """The shared library, with Python's types."""

    def __init__(self, path: str) -> None:
        self._c = ctypes.CDLL(path)
        for name in ("decode_chunks", "read_request"):
            getattr(self._c, f"cg_props_{name}").restype = ctypes.c_char_p
        for name in ("is_token", "is_authority", "build_head"):
            getattr(self._c, f"cg_props_{name}").restype = ctypes.c_bool

    def parse_u64(self, text: bytes) -> int | str:
        value = ctypes.c_uint64()
        error = self._c.cg_props_parse_u64(text, ctypes.c_size_t(len(text)), ctypes.byref(value))
        return errno.errorcode[-error] if error else value.value

    def is_token(self, text: bytes) -> bool:
        return self._c.cg_props_is_token(text, ctypes.c_size_t(len(text)))

    def is_authority(self, text: bytes) -> bool:
        return self._c.cg_props_is_authority(text, ctypes.c_size_t(len(text)))

    def decode_chunks(self, data: bytes, step: int) -> tuple[str, bytes, int]:
        """Verdict, decoded body, bytes used."""
        out = ctypes.create_string_buffer(len(data) + 1)
        n, used = ctypes.c_size_t(), ctypes.c_size_t()
        size = ctypes.c_size_t(len(data))
        told = self._c.cg_props_decode_chunks(
            data, size, ctypes.c_size_t(step), out, ctypes.byref(n), ctypes.byref(used)
        )
        return told.decode(), out.raw[: n.value], used.value

    def read_request(self, data: bytes, by_byte: bool, name: bytes) -> tuple[str, bytes]:
        """Verdict, value of the named field."""
        out, n = ctypes.create_string_buffer(len(data) + 1), ctypes.c_size_t()
        size, name_size = ctypes.c_size_t(len(data)), ctypes.c_size_t(len(name))
        told = self._c.cg_props_read_request(
            data, size, ctypes.c_bool(by_byte), name, name_size, out, ctypes.byref(n)
        )
        return told.decode(), out.raw[: n.value]

    def build_head(self, status: bytes, name: bytes, value: bytes) -> bytes | None:
        out, n = ctypes.create_string_buffer(1 << 16), ctypes.c_size_t()
        texts = [a for text in (status, name, value) for a in (text, ctypes.c_size_t(len(text)))]
        return (
            out.raw[: n.value]
            if self._c.cg_props_build_head(*texts, out, ctypes.byref(n))
            else None
        )


@pytest.fixture(scope="module")
def props() -> Props:
    if "LD_PRELOAD" in os.environ.get("CGUNICORN_TEST_ENV", ""):
        pytest.skip("the properties run in this process, which is not under the sanitizers")
    folder = os.environ.get("CGUNICORN_UNIT_BUILD", TOP / "build/unit")
    path = (
        TOP
        / folder
        / "tests/props"
        / ("libprops." + ("dylib" if sys.platform == "darwin" else "so"))
    )
    if not path.exists():
        pytest.fail(f"{path} is missing: `./dev test` without arguments builds it")
    return Props(str(path))


# Numbers


@steady
@given(text=st.one_of(st.binary(max_size=30), st.from_regex(rb"[0-9]{1,25}", fullmatch=True)))
@example(b"18446744073709551615")
@example(b"18446744073709551616")
@example(b"00000000000000000000000000000000000001")
@example(b"\xb2")
def test_a_number_is_digits_and_fits(props: Props, text: bytes) -> None:
    if not re.fullmatch(rb"[0-9]+", text):
        assert props.parse_u64(text) == "EINVAL"
    elif int(text) >= 1 << 64:
        assert props.parse_u64(text) == "ERANGE"
    else:
        assert props.parse_u64(text) == int(text)


# Fields

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
BLANKS = b" \t"
#: Mostly what may stand in a field, so that most examples are nearly right.
nearly_names = st.one_of(st.from_regex(TOKEN, fullmatch=True), st.binary(max_size=12))
nearly_values = st.one_of(
    st.from_regex(rb"[ \t!-~\x80-\xff]{0,20}", fullmatch=True), st.binary(max_size=20)
)


@steady
@given(text=nearly_names)
def test_a_token_is_what_rfc_9110_says(props: Props, text: bytes) -> None:
    assert props.is_token(text) == bool(re.fullmatch(TOKEN, text))


def is_value(value: bytes) -> bool:
    return not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value)


@steady
@given(name=nearly_names, value=nearly_values, by_byte=st.booleans())
@example(name=b"X", value=b"\x85a\xa0", by_byte=False)
def test_a_field_is_a_token_and_visible_text(
    props: Props, name: bytes, value: bytes, by_byte: bool
) -> None:
    name = b"X-" + name if re.fullmatch(TOKEN, name) else name
    head = b"GET / HTTP/1.1\r\nHost: a\r\n%b:%b\r\n\r\n" % (name, value)
    verdict, got = props.read_request(head, by_byte, name)
    line = name + b":" + value
    good_name = re.fullmatch(TOKEN, line.partition(b":")[0])
    if line.startswith(b"\r\n") or b"\r\n" in line:
        return  # more than one line: another request than this property is about
    assert (verdict == "ok") == bool(good_name and is_value(line.partition(b":")[2]))
    if verdict == "ok" and re.fullmatch(TOKEN, name):
        assert got == (b"" if b"_" in name else value.strip(BLANKS)), "header_map is drop"


@steady
@given(data=st.binary(max_size=60), by_byte=st.booleans())
def test_nothing_but_a_request_is_taken_for_one(props: Props, data: bytes, by_byte: bool) -> None:
    verdict, _ = props.read_request(data, by_byte, b"Host")
    line = re.match(rb"(?:\r\n){0,4}[A-Z-]+ [^\x00- \x7f]+ HTTP/1\.[01]\r\n", data)
    assert verdict != "ok" or (line and b"\r\n\r\n" in data[line.end() - 2 :])


@steady
@given(
    status=st.one_of(
        st.just(b"200 OK"), st.from_regex(rb"[0-9]{3} ?[ -~]*"), st.binary(max_size=9)
    ),
    name=nearly_names,
    value=nearly_values,
)
@example(status=b"200 OK\r\nX: y", name=b"A", value=b"b")
def test_no_application_splits_a_response(
    props: Props, status: bytes, name: bytes, value: bytes
) -> None:
    head = props.build_head(status, b"X-" + name, value)
    good_status = re.fullmatch(rb"[2-9][0-9]{2}(?: [^\x00-\x1f\x7f]*)?", status)
    good = good_status and re.fullmatch(TOKEN, b"X-" + name) and is_value(value.strip(BLANKS))
    assert (head is not None) == bool(good)
    if head is not None:
        lines = head.split(b"\r\n")
        assert lines[-2:] == [b"", b""] and b"" not in lines[:-2]
        assert not re.search(rb"[\r\n]", b"".join(lines))
        assert lines[0] == b"HTTP/1.1 " + (status if len(status) > 3 else status + b" ")
        assert lines.count(b"X-" + name + b": " + value.strip(BLANKS)) == 1


@steady
@given(
    host=st.from_regex(rb"[a-z0-9.-]{0,12}", fullmatch=True),
    port=st.one_of(st.none(), st.integers(-5, 70000)),
)
def test_a_host_may_have_a_port_of_sixteen_bits(
    props: Props, host: bytes, port: int | None
) -> None:
    text = host if port is None else host + b":%d" % port
    assert props.is_authority(text) == (port is None or 0 <= port <= 0xFFFF)


@steady
@given(text=st.binary(max_size=12), character=st.sampled_from(b' /?#\\<>"^`{|}\0\r\n\t\x80\xff'))
def test_no_delimiter_hides_in_a_host(props: Props, text: bytes, character: int) -> None:
    assert not props.is_authority(text + bytes([character]))
    assert not props.is_authority(bytes([character]) + text)


# Chunks

extensions = st.one_of(
    st.just(b""), st.from_regex(rb"[ \t]*;[ \t!-~\x80-\xff]{0,10}", fullmatch=True)
)
trailers = st.lists(st.from_regex(rb"X-[a-z]{1,5}:[ \t!-~]{0,10}", fullmatch=True), max_size=2)
chunks = st.lists(
    st.tuples(st.binary(min_size=1, max_size=40), extensions, st.integers(0, 3), st.booleans()),
    max_size=4,
)


def encode(parts: list[tuple[bytes, bytes, int, bool]], last: list[bytes]) -> bytes:
    data = b""
    for body, extension, zeros, upper in parts:
        size = b"%x" % len(body)
        data += (
            b"0" * zeros + (size.upper() if upper else size) + extension + b"\r\n" + body + b"\r\n"
        )
    return data + b"0\r\n" + b"".join(line + b"\r\n" for line in last) + b"\r\n"


@steady
@given(parts=chunks, last=trailers, rest=st.binary(max_size=10), step=st.integers(0, 7))
def test_chunks_are_joined_and_the_rest_is_left(
    props: Props, parts: list, last: list[bytes], rest: bytes, step: int
) -> None:
    data = encode(parts, last)
    body = b"".join(part[0] for part in parts)
    assert props.decode_chunks(data + rest, step) == ("ok", body, len(data))


SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
TRAILER = re.compile(rb"(" + TOKEN + rb"):[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
LATE = {b"content-length", b"transfer-encoding", b"host", b"trailer", b"authorization", b"te"}


def model(data: bytes) -> bytes | None:
    """The body, or None when data does not begin with a whole chunked body."""
    body, at = b"", 0
    while line := SIZE_LINE.match(data, at):
        size, at = int(line[1], 16), line.end()
        if size == 0:
            while field := TRAILER.match(data, at):
                if field[1].lower() in LATE:
                    return None
                at = field.end()
            return body if data.startswith(b"\r\n", at) else None
        if data[at + size : at + size + 2] != b"\r\n":
            return None
        body, at = body + data[at : at + size], at + size + 2
    return None


@st.composite
def broken_chunks(draw: st.DrawFn) -> bytes:
    """A chunked body with a few bytes changed."""
    data = bytearray(encode(draw(chunks), draw(trailers)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        spice = draw(
            st.one_of(st.sampled_from([b"\r", b"\n", b"0", b";", b" ", b"x"]), st.binary())
        )
        data[at : at + draw(st.integers(0, 2))] = spice
    return bytes(data)


@settings(steady, max_examples=1000)
@given(data=st.one_of(broken_chunks(), st.binary(max_size=40)), step=st.integers(1, 5))
@example(data=b"1;a\nb\r\na\r\n0\r\n\r\n", step=1)
@example(data=b"0\r\nContent-Length: 1\r\n\r\n", step=1)
def test_chunk_decoding_is_as_strict_as_its_grammar(props: Props, data: bytes, step: int) -> None:
    whole = props.decode_chunks(data, 0)
    body = model(data)
    assert (whole[0] == "ok") == (body is not None), whole
    if body is not None:
        assert whole[1] == body
    assert props.decode_chunks(data, step)[:2] == whole[:2], "how it arrives makes a difference"


# Percent-decoding

PATHS = """
import json

def app(environ, start_response):
    start_response("200 OK", [])
    shown = [environ[key] for key in ("PATH_INFO", "QUERY_STRING", "RAW_URI")]
    return [json.dumps(shown).encode()]
"""
pieces = st.one_of(
    st.from_regex(rb"[!-\"$-.0-;<-~/]{1,6}", fullmatch=True).filter(lambda b: b"?" not in b),
    st.binary(min_size=1, max_size=3).map(lambda b: b"".join(b"%%%02X" % x for x in b)),
    st.from_regex(rb"%[0-9a-fA-F]{0,2}", fullmatch=True),
    st.from_regex(rb"[\x80-\xff]{1,3}", fullmatch=True),
)


def test_a_path_is_decoded_once_to_latin_1(serve: Serve, worker_class: str) -> None:
    server = serve(PATHS, "-k", worker_class, "--keep-alive", "30")

    @steady
    @given(path=st.lists(pieces, max_size=6).map(b"".join), query=st.lists(pieces, max_size=3))
    @example(path=b"%", query=[])
    @example(path=b"%2", query=[])
    @example(path=b"%25%32%30", query=[b"%25"])
    def check(path: bytes, query: list[bytes]) -> None:
        target = b"/" + path + (b"?" + b"".join(query) if query else b"")
        client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        shown = [text.encode("latin-1") for text in json.loads(client.response().body)]
        assert shown == [unquote_to_bytes(b"/" + path), b"".join(query), target]

    with server.connect() as client:
        check()
