# SPDX-License-Identifier: MIT
"""Applications that do what PEP 3333 does not ask for, or forbids: each has one outcome for the
client and at most one line in the log.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

from harness import Server

Serve = Callable[..., Server]

PRELUDE = """
import io, os, sys

class Hostile(str):
    def fail(self, *args): raise LookupError("hostile")
    __str__ = __repr__ = __len__ = __iter__ = __eq__ = __hash__ = __format__ = fail
    encode = strip = lower = split = __contains__ = __getitem__ = fail

class Lying:
    def __init__(self, length, parts): self.length, self.parts = length, parts
    def __iter__(self): return iter(self.parts)
    def __len__(self):
        if self.length is None: raise LookupError("no length")
        return self.length

class Own(list):
    def __iter__(self): return iter(self.own)

class Body:
    def __init__(self, parts, close): self.parts, self.close = iter(parts), close
    def __iter__(self): return self.parts

class Unprintable(Exception):
    def __str__(self): raise LookupError("hostile")
    __repr__ = __str__

class Reacts:
    def __init__(self, react): self.react = react
    def __repr__(self): return repr(self.react())

def fail(*args): raise LookupError("expected")

def failing(parts, error=LookupError):
    yield from parts
    raise error("expected")

def caught(call, *args):
    try:
        call(*args)
    except Exception as e:
        return type(e).__name__.encode()
    return b"nothing"

def info(error=KeyError):
    try:
        raise error("handled")
    except error:
        return sys.exc_info()

kept = {}

def app(environ, start):
    return globals()["case_" + environ["PATH_INFO"][1:]](environ, start)
"""


@dataclass
class Case:
    """The body of an application called with `start`, and what becomes of it: a status and body, or
    a response that is cut; and what the one line, or traceback, in the log has, if there is one."""

    code: str
    status: int | None
    body: bytes = b""
    line: str = ""


def fine(code: str, body: bytes, status: int = 200) -> Case:
    return Case(code, status, body)


def refused(code: str, line: str) -> Case:
    return Case(code, 500, b"Internal Server Error", line)


def cut(code: str, line: str) -> Case:
    return Case(code, None, b"", line)


OK = 'start("200 OK", [])\n'
FIELD = '[("X-A", "1")]'

START = {
    "names": fine(
        'start(status="200 OK", headers=[("X-A", "1")], exc_info=None)\nreturn [b"a"]', b"a"
    ),
    "names_in_any_order": fine('start(headers=[], status="200 OK")\nreturn [b"a"]', b"a"),
    "last_two_by_name": fine(
        OK + 'start("201 OK", exc_info=info(), headers=[])\nreturn [b"a"]', b"a", 201
    ),
    "unknown_name": refused('start("200 OK", [], reason="x")', "TypeError"),
    "given_twice": refused('start("200 OK", [], status="200 OK")', "TypeError"),
    "nothing_given": refused("start()", "TypeError"),
    "no_headers_given": refused('start("200 OK")', "TypeError"),
    "too_much_given": refused('start("200 OK", [], None, None)', "TypeError"),
    "status_bytes": refused('start(b"200 OK", [])', "TypeError: .*status.*b'200 OK'"),
    "status_none": refused("start(None, [])", "TypeError: .*status"),
    "status_not_latin": refused(r'start("200 \u20ac", [])', "ValueError: .*status.*latin-1"),
    "headers_tuple": fine('start("200 OK", (("X-A", "1"),))\nreturn [b"a"]', b"a"),
    "headers_generator": fine('start("200 OK", (p for p in [("X-A", "1")]))\nreturn [b"a"]', b"a"),
    "headers_of_their_own": fine(
        'h = Own([("X A", "1")])\nh.own = [("X-A", "1")]\nstart("200 OK", h)\nreturn [b"a"]', b"a"
    ),
    "headers_fail": refused('start("200 OK", failing([("A", "1")]))', "LookupError: expected"),
    "headers_none": refused('start("200 OK", None)', "TypeError: headers"),
    "headers_str": refused('start("200 OK", "ab")', "TypeError: .*pair"),
    "headers_dict": refused('start("200 OK", {"X-A": "1"})', "TypeError: .*pair.*'X-A'"),
    "pair_is_a_list": fine('start("200 OK", [["X-A", "1"]])\nreturn [b"a"]', b"a"),
    "pair_of_one": refused('start("200 OK", [("X-A",)])', "TypeError: .*pair"),
    "pair_of_three": refused('start("200 OK", [["X-A", "1", "2"]])', "TypeError: .*pair"),
    "pair_is_none": refused('start("200 OK", [None])', "TypeError: .*pair"),
    "name_with_colon": refused('start("200 OK", [("X-A:", "1")])', "ValueError: .*name.*'X-A:'"),
    "name_with_control": refused(r'start("200 OK", [("X\x01A", "1")])', "ValueError: .*name"),
    "name_not_latin": refused(r'start("200 OK", [("\u20ac", "1")])', "ValueError: .*latin-1"),
    "name_bytes": refused('start("200 OK", [(b"X-A", "1")])', "TypeError: .*name.*b'X-A'"),
    "value_none": refused('start("200 OK", [("X-A", None)])', "TypeError: .*value.*'X-A'"),
    "value_with_control": refused(r'start("200 OK", [("X-A", "\x01")])', "ValueError: .*'X-A'"),
    "upgrade_alone": refused('start("200 OK", [("Upgrade", "x")])', "ValueError: .*[Uu]pgrade"),
    "mistake_made_good": fine(
        """
try:
    start(200, [])
except TypeError:
    start("201 OK", [("X-A", "1")])
return [b"a"]
""",
        b"a",
        201,
    ),
    "half_a_head_made_good": fine(
        """
try:
    start("200 OK", [("X-A", "2"), ("X-A", "3"), ("X-B", 1)])
except TypeError:
    start("201 OK", [("X-A", "1")])
return [b"a"]
""",
        b"a",
        201,
    ),
    "half_a_head_is_none": refused(
        'caught(start, "200 OK", [("X-A", "2"), ("X-B", 1)])\nreturn [b"a"]', "AssertionError"
    ),
    "twice": refused(OK + OK + 'return [b"a"]', "AssertionError: .*second time"),
    "twice_caught": fine(OK + 'return [caught(start, "201 OK", [])]', b"AssertionError"),
    "never": refused('return [b"a"]', "AssertionError: .*start_response"),
    "never_and_empty": refused("return []", "AssertionError: .*start_response"),
    "never_and_written": refused("kept['write'](b'a')", "RuntimeError"),
    "replaced": fine(
        f'start("200 OK", [("X-A", "2")])\nstart("201 OK", {FIELD}, info())\nreturn [b"a"]',
        b"a",
        201,
    ),
    "nothing_handled": fine(
        OK + f'start("201 OK", {FIELD}, (None, None, None))\nreturn [b"a"]', b"a", 201
    ),
    "nothing_handled_too_late": cut(
        OK + 'yield b"a"\nstart("500 No", [], (None, None, None))', "AssertionError: .*had left"
    ),
    "exc_info_of_another_kind": refused(
        OK + 'start("500 No", [], [1, 2, 3])', "TypeError: exc_info"
    ),
    "exc_info_false": refused(OK + 'start("500 No", [], False)', "AssertionError: .*second time"),
    "replaced_too_late": cut(
        OK + 'yield b"a"\nstart("500 No", [], info())\nyield b"b"', "KeyError: 'handled'"
    ),
    "replaced_too_late_caught": fine(
        OK + 'yield b"a"\nyield caught(start, "500 No", [], info())', b"aKeyError"
    ),
    "hint_that_is_no_text": refused(
        'environ["wsgi.early_hints"]([("Link", 1)])', "TypeError: .*value.*'Link'"
    ),
    "hint_with_a_line_end": refused(
        r'environ["wsgi.early_hints"]([(b"Link", b"a\r\nX-A: 1")])', "ValueError: .*value.*b'Link'"
    ),
    "hints_none": refused('environ["wsgi.early_hints"](None)', "TypeError: headers"),
    "hints_unnamed": refused('environ["wsgi.early_hints"]()', "TypeError: early_hints"),
    "hints_then_a_head": fine(
        'environ["wsgi.early_hints"](headers=[])\n' + OK + 'return [b"a"]', b"a"
    ),
    "late_but_before_a_byte": fine(f'yield b""\nstart("201 OK", {FIELD})\nyield b"a"', b"a", 201),
}

HOSTILE = {
    "values": fine('start("200 OK", [("X-A", Hostile("1"))])\nreturn [b"a"]', b"a"),
    "names": fine('start("200 OK", [(Hostile("X-A"), "1")])\nreturn [b"a"]', b"a"),
    "status": fine('start(Hostile("200 OK"), [])\nreturn [b"a"]', b"a"),
    "status_that_is_wrong": refused('start(Hostile("2"), [])', "LookupError: hostile"),
    "name_that_is_wrong": refused('start("200 OK", [(Hostile("A B"), "1")])', "LookupError"),
    "value_that_is_wrong": refused(r'start("200 OK", [("X-A", Hostile("\n"))])', "ValueError"),
    "pair_that_is_wrong": refused('start("200 OK", [("X-A", "2"), Reacts(fail)])', "LookupError"),
    "exception": refused("raise Unprintable", "Unprintable"),
    "exception_after_a_chunk": cut(OK + "return failing([b'a'], Unprintable)", "Unprintable"),
    "exc_info": refused(OK + 'start("500 No", [], Reacts(fail))', "LookupError: expected"),
    # To show what is wrong runs code of the application's, which finds no half of a head.
    "shown_while_written": refused(
        """
write = start("200 OK", [("X-B", "1")])
start("500 No", [("X-C", "1"), (Reacts(lambda: write(b"half")), "1")], info())
""",
        "AssertionError: write",
    ),
    "shown_while_started": fine(
        f"""
caught(start, "500 No", [("X-C", "1"), (Reacts(lambda: start("201 OK", {FIELD})), "1")])
return [b"a"]
""",
        b"a",
        201,
    ),
}

BODY = {
    "none": refused(OK + "return None", "TypeError: .*NoneType"),
    "number": refused(OK + "return 1", "TypeError: .*int"),
    "str": refused(OK + 'return "text"', "TypeError: .*str"),
    "bytes": refused(OK + 'return b"text"', "TypeError: .*int"),
    "item_str": refused(OK + 'return ["text"]', "TypeError: .*str"),
    "item_none": refused(OK + "return [None]", "TypeError: .*NoneType"),
    "item_bytearray": refused(OK + 'return [bytearray(b"a")]', "TypeError: .*bytearray"),
    "item_memoryview": refused(OK + 'return iter([memoryview(b"a")])', "TypeError: .*memoryview"),
    "second_item_str": cut(OK + 'return [b"a", "b"]', "TypeError: .*str"),
    "second_item_bytearray": cut(OK + 'yield b"a"\nyield bytearray(b"b")', "TypeError: .*bytea"),
    "written_str": refused('start("200 OK", [])("a")', "TypeError: .*str"),
    "written_bytearray": refused('start("200 OK", [])(bytearray(b"a"))', "TypeError: .*bytea"),
    "longer_than_it_says": fine(OK + 'return Lying(1, [b"a", b"b", b"c"])', b"abc"),
    "shorter_than_it_says": fine(OK + 'return Lying(9, [b"a"])', b"a"),
    "empty_whatever_it_says": fine(OK + "return Lying(1, [])", b""),
    "length_fails": fine(OK + 'return Lying(None, [b"a"])', b"a"),
    "list_of_its_own": fine(OK + 'b = Own([b"x"])\nb.own = [b"a", b"b"]\nreturn b', b"ab"),
    "grows": fine(OK + 'b = [b"a"]\nb.append(b"b")\nreturn b', b"ab"),
    "first_fails": refused(OK + "return failing([])", "LookupError: expected"),
    "first_fails_behind_nothing": refused(OK + "return failing([b''])", "LookupError: expected"),
    "second_fails": cut(OK + "return failing([b'a'])", "LookupError: expected"),
    "iter_fails": refused(OK + "class B:\n    __iter__ = fail\nreturn B()", "LookupError"),
    "iter_is_no_iterator": refused(
        OK + "class B:\n    def __iter__(self): return 1\nreturn B()", "TypeError: .*non-iterator"
    ),
    "call_fails": refused("fail()", "LookupError: expected"),
    "call_stops": refused("raise StopIteration", "StopIteration"),
    "call_exits": refused("sys.exit(1)", "SystemExit"),
    "call_is_interrupted": refused("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "next_exits": cut(OK + 'yield b"a"\nsys.exit(1)', "SystemExit"),
    "close_fails": Case(OK + 'return Body([b"a"], fail)', 200, b"a", "LookupError: expected"),
    "close_is_no_function": Case(OK + 'return Body([b"a"], 1)', 200, b"a", "TypeError"),
    "close_takes_arguments": Case(OK + 'return Body([b"a"], lambda x: 1)', 200, b"a", "TypeError"),
    "close_writes": Case(
        'write = start("200 OK", [])\nreturn Body([b"a"], lambda: write(b"b"))',
        200,
        b"a",
        "RuntimeError: write.* after the end",
    ),
    "written_behind_the_last": fine(
        'write = start("200 OK", [])\nyield b"a"\nwrite(b"b")\nwrite(b"")', b"ab"
    ),
    "chunk_writes_when_it_goes": fine(
        """
class Chunk(bytes):
    def __del__(self): kept["end"] = caught(kept["write"], b"x")
kept["write"] = start("200 OK", [])
yield Chunk(b"a")
yield kept["end"]
""",
        b"aRuntimeError",
    ),
    "file_that_is_exchanged": fine(
        OK
        + """
class File:
    def fileno(self):
        wrapper.__init__(io.BytesIO(b"ab"))
        return devnull
    def tell(self): return 0
devnull = os.open("/dev/null", os.O_RDONLY)
wrapper = environ["wsgi.file_wrapper"](File())
return wrapper
""",
        b"ab",
    ),
    "file_without_a_file": refused(
        OK + 'w = environ["wsgi.file_wrapper"]\nreturn w.__new__(w)', "ValueError: .*without"
    ),
    "file_that_reads_str": refused(
        OK + 'return environ["wsgi.file_wrapper"](io.StringIO("a"))', "TypeError: .*str"
    ),
    "file_that_is_closed": refused(
        OK + 'f = open(__file__, "rb")\nf.close()\nreturn environ["wsgi.file_wrapper"](f)',
        "ValueError: .*closed",
    ),
    "file_that_fails": refused(
        OK + 'class File:\n    read = fail\nreturn environ["wsgi.file_wrapper"](File())',
        "LookupError: expected",
    ),
    "file_that_is_none": refused(
        OK + 'return environ["wsgi.file_wrapper"](None)', "AttributeError: .*read"
    ),
    "keeps_write": fine('kept["write"] = start("200 OK", [])\nreturn [b"a"]', b"a"),
    "uses_kept_write": fine(OK + 'return [caught(kept["write"], b"b")]', b"RuntimeError"),
    "keeps_start": fine('kept["start"] = start\n' + OK + 'return [b"a"]', b"a"),
    "uses_kept_start": fine(OK + 'return [caught(kept["start"], "200 OK", [])]', b"RuntimeError"),
}


def source(cases: dict[str, Case]) -> str:
    functions = [
        f"def case_{name}(environ, start):\n{textwrap.indent(case.code.strip(), '    ')}\n"
        for name, case in cases.items()
    ]
    return PRELUDE + "".join(functions)


def outcome(server: Server, name: str, case: Case) -> list[str]:
    """What is wrong, in words."""
    begin = len(server.log)
    wrong = []
    try:
        r = server.get(f"/{name}")
    except EOFError:
        status, body = None, b""
    else:
        status, body = r.status, r.body
        if FIELD in case.code and status == case.status and r.field("x-a") != "1":
            wrong.append(f"fields {r.fields}")
    end = server.wait_log(rf"(?m)^done /{name}$")
    log = server.log[begin : end.start()]
    records = re.findall(r"\[(?:ERROR|WARNING|CRITICAL)\].*", log)
    if status != case.status:
        wrong.append(f"status {status} and not {case.status}")
    if case.body not in body if case.status == 500 else body != case.body:
        wrong.append(f"body {body!r}")
    if len(records) != bool(case.line) or not re.search(case.line, log):
        wrong.append(f"log {log!r}")
    return [f"{name}: {what}" for what in wrong]


def check(serve: Serve, worker_class: str, cases: dict[str, Case]) -> None:
    log = ("--access-logfile", "-", "--access-logformat", "done %(U)s")
    server = serve(source(cases), "-k", worker_class, *log)
    wrong = [line for name, case in cases.items() for line in outcome(server, name, case)]
    assert not wrong, "\n".join(wrong)
    assert server.log.count("Booting worker") == 1


def test_start_response_is_given_all_sorts_of_things(serve: Serve, worker_class: str) -> None:
    cases = {"keeps_write": BODY["keeps_write"], **START}
    check(serve, worker_class, cases)


def test_objects_that_cannot_be_shown_leave_no_half_of_a_head(
    serve: Serve, worker_class: str
) -> None:
    check(serve, worker_class, HOSTILE)


def test_bodies_of_all_sorts(serve: Serve, worker_class: str) -> None:
    check(serve, worker_class, BODY)
