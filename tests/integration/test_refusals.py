# SPDX-License-Identifier: MIT
"""Every setting, in every way in which it can be given, with values that it cannot have.

What is said is one sentence: the setting, the value, where it came from, and what is valid. The
values come from the kinds of the settings, so a new setting is covered by being in the table.
Loading the configuration is called as a function; a sample goes through the command.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cgunicorn.cli import invocation
from cgunicorn.config import NOTHING, Program, load
from cgunicorn.errors import ConfigError
from cgunicorn.paste import layer_of
from cgunicorn.settings import SETTINGS, Setting
from cgunicorn.settings.kinds import (
    ANY,
    BOOL,
    CALLABLE,
    CLASS,
    CSV,
    DICT,
    FIELDS,
    GROUP,
    INT,
    INT_OR_AUTO,
    LIST,
    MODE,
    PROXY_MODE,
    STR,
    USER,
    Kind,
)
from harness import run_command

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"

#: What the values of a config file may refer to.
PRELUDE = """\
class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")
def raises():
    raise RuntimeError("two\\nlines")
nobody_can_tell = []
nobody_can_tell.append(nobody_can_tell)
"""

NUMBERS = ("1.5", "float('nan')", "float('inf')", "1j", "10**5000", "-10**5000")
WORDS = ("'many'", "''", "'1.5'", "'nan'", "'1 2'", "'0x'", "'-'", "'9' * 5000")
OBJECTS = ("b'x'", "{1}", "object()", "Unprintable()", "nobody_can_tell", "(i for i in ())")
NO_STRINGS = ("5", *NUMBERS, *OBJECTS, "{1: 2}", "'a\\0b'", "'\\ud800'")
NO_LISTS = ("[5]", "[None]", "[['a']]", "['a\\0b']", *NO_STRINGS)
NO_PATHS = (
    *("'nope'", "''", "'.nope'", "'..nope'", "'nope.nope'", "'os.nope'", "'os.'"),
    *("'raises_at_import.f'", "'ends_at_import.f'", "'is_no_python.f'"),
)

#: What no setting of a kind can be, as a config file has it.
IN_PYTHON: Mapping[Kind, tuple[str, ...]] = {
    INT: ("[]", "{}", "(30,)", *NUMBERS, *WORDS, *OBJECTS),
    INT_OR_AUTO: ("[]", "{}", *NUMBERS, *WORDS, *OBJECTS),
    MODE: ("[]", "'09'", "-1", *NUMBERS, *WORDS, *OBJECTS),
    BOOL: ("(True,)", "0", "1", "[]", "{}", "'yes'", "''", *NUMBERS, *OBJECTS),
    STR: ("[]", "('a',)", *NO_STRINGS),
    LIST: NO_LISTS,
    CSV: NO_LISTS,
    PROXY_MODE: ("'v3'", "''", "[]", *NO_STRINGS),
    FIELDS: ("[]", "'a:b'", "{1: 'a'}", "{'a': 1}", "{'a b': 'c'}", "{'a': 'b\\nc'}", *OBJECTS),
    DICT: ("[]", "'a'", "5", *OBJECTS),
    CLASS: ("[]", "raises", "lambda a: a", *NO_STRINGS),
    CALLABLE: ("[]", "lambda *, a: a", "lambda: 0", *NO_PATHS, *NUMBERS, *OBJECTS),
    USER: ("'no such user'", "-1", "2**32", "''", "'9' * 5000", "[]", *NUMBERS, *OBJECTS),
    GROUP: ("'no such group'", "-1", "2**32", "''", "'9' * 5000", "[]", *NUMBERS, *OBJECTS),
    ANY: (),
}

#: The same as text, for variables, flags and ini files. A NUL byte can stand in none of them.
IN_TEXT: Mapping[Kind, tuple[str, ...]] = {
    INT: ("many", "1.5", "nan", "inf", "1 2", "9" * 5000, "0b2", "-", "\udcff"),
    INT_OR_AUTO: ("many", "1.5", "nan", "autos", "9" * 5000),
    MODE: ("09", "rwx", "-1", "1000000"),
    BOOL: ("perhaps", "2", "\udcff"),
    STR: (),
    LIST: (),
    CSV: (),
    PROXY_MODE: ("v3", "yes"),
    FIELDS: ("a:b", "[]", '{"a": 1}', '{"a b": "c"}', '{"a": "b\\nc"}', "{", "[" * 100000),
    DICT: ("a", "[]", "5", "{", "[" * 100000),
    CLASS: (),
    CALLABLE: tuple(text.strip("'") for text in NO_PATHS if text != "''"),
    USER: ("no such user", "-1", str(2**32), "1.5", "9" * 5000),
    GROUP: ("no such group", "-1", str(2**32), "1.5", "9" * 5000),
    ANY: (),
}

#: Beyond its kind: what single settings refuse.
OF_ONE: Mapping[str, tuple[str, ...]] = {
    "bind": (
        "8" * 5000,
        "/" + "x" * 5000,
        "1:1," * 999,
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "unix:",
        "fd://",
        "[::1",
        "::1",
        "a:1:2",
    ),
    "worker_class": ("gevent", "tornado", "mine.Worker", "egg:shop#mine"),
    "reload_extra_files": ("nowhere.txt", "x" * 5000),
    "chdir": ("nowhere", "app.py", "x" * 5000),
    "tmp_upload_dir": ("nowhere", "app.py", "x" * 5000),
    "raw_env": ("NAME", "=x", "x" * 5000),
    "raw_paste_global_conf": ("NAME", "=x"),
    "forwarded_allow_ips": ("1" * 5000, "here", "10.0.0.1/8", "::1/129", "10.0.0.256", "\udcff"),
    "proxy_allow_ips": ("here", "10.0.0.1/8", "::1/129", "10.0.0.256", "\udcff"),
    "uwsgi_allow_ips": ("here", "10.0.0.1/8", "::1/129", "10.0.0.256", "\udcff"),
    "syslog_addr": ("here", "udp://", "udp://a:x", "udp://a:0", "udp://a:65536", "unix://a#b"),
    "statsd_host": ("a:x", "a:65536", "a:0", ":1", "unix://", "http://a"),
    "certfile": ("a",),
    "keyfile": ("a",),
    "ssl_context": ("a",),
}


def texts(row: Setting) -> Iterator[str]:
    yield from IN_TEXT[row.kind]
    yield from OF_ONE.get(row.name, ())
    if row.choices:
        yield from ("no such word", row.choices[0] + "x")
    if row.kind in (INT, INT_OR_AUTO, MODE):
        yield from (str(row.most + 1), str(row.least - 1), str(2**70))


def values(row: Setting) -> Iterator[str]:
    """As a config file has them."""
    yield from IN_PYTHON[row.kind]
    yield from map(repr, OF_ONE.get(row.name, ()))
    if row.choices:
        yield from ("'no such word'", "''")
    if row.kind in (INT, INT_OR_AUTO, MODE):
        yield from (str(row.most + 1), str(row.least - 1))
    if row.kind is CALLABLE:
        n = row.meta.count(",") + 1
        yield from (f"lambda {', '.join('abcdefg'[:k])}: 0" for k in (n - 2, n + 3) if k > 0)


def as_value(row: Setting, source: str) -> str:
    """The value that the sentence must show, as far as it is told from the text that gives it."""
    try:
        value = eval(source)
    except (NameError, SyntaxError):
        return ""
    if row.kind in (LIST, CSV) and isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, int) and abs(value) > 10**100:
        return ""
    text = repr(value)
    return "" if len(text) > 150 or " at 0x" in text else text


def is_a_sentence(row: Setting, error: BaseException, value: str, place: str) -> None:
    assert isinstance(error, ConfigError), repr(error)
    told = str(error)
    assert error.details == "", told
    assert told.startswith(f"Invalid value for {row.name}: {value}"), told
    _, found, why = told.partition(f" (from {place}): ")
    assert found, told
    assert why.endswith((".", "?")), told
    assert "\n" not in told and len(told) < 2000, told
    assert "Traceback" not in told and "Exceeds the limit" not in told, told
    # What is valid, or what is wrong with this one value.
    assert len(why.split()) >= 3, told


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "raises_at_import.py").write_text("raise RuntimeError('two\\nlines')\n")
    (tmp_path / "ends_at_import.py").write_text("import sys; sys.exit(3)\n")
    (tmp_path / "is_no_python.py").write_text("def (\n")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


#: `config` has no effect where it is read from.
ROWS = [row for row in SETTINGS.values() if row.name != "config"]
WITH_FLAG = [row for row in ROWS if row.flags and row.kind is not BOOL]

each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def refuse(give: Callable[[], object]) -> BaseException:
    with pytest.raises((ConfigError, SystemExit)) as refused:
        give()
    return refused.value


@each_row
def test_in_a_config_file(row: Setting, folder: Path) -> None:
    line = PRELUDE.count("\n") + 1
    for source in values(row):
        (folder / "gunicorn.conf.py").write_text(f"{PRELUDE}{row.name} = {source}\n")
        error = refuse(lambda: load(invocation(["app:app"], {})))
        is_a_sentence(row, error, as_value(row, source), f"gunicorn.conf.py:{line}")


@each_row
def test_in_a_module(row: Setting, folder: Path) -> None:
    line = PRELUDE.count("\n") + 1
    for n, source in enumerate(itertools.islice(values(row), 2)):
        path = folder / f"mine{n}.py"
        path.write_text(f"{PRELUDE}{row.name} = {source}\n")
        error = refuse(lambda n=n: load(invocation(["app:app", "-c", f"python:mine{n}"], {})))
        is_a_sentence(row, error, as_value(row, source), f"{path}:{line}")


@each_row
def test_in_a_variable(row: Setting) -> None:
    """An empty variable is as good as none."""
    for text in texts(row):
        error = refuse(lambda text=text: load(invocation(["app:app"], {row.variable: text})))
        is_a_sentence(row, error, "", f"the environment variable {row.variable}")


@pytest.mark.parametrize("row", WITH_FLAG, ids=lambda row: row.name)
def test_by_a_flag(
    row: Setting, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the command line and in GUNICORN_CMD_ARGS. What is no integer at all is a wrong command
    line, with exit code 2 as in Gunicorn."""
    both = "/".join(row.flags)
    for text, flag in itertools.product(
        (*texts(row), *["nul\0byte"][: row.kind is STR]), row.flags
    ):
        word = f"{flag}={text}" if flag.startswith("--") else f"{flag}{text}"
        quoted = "'" + word + "'"
        for argv, environ, place, tail in (
            (["app:app", word], {}, "the command line", ""),
            (["app:app"], {"GUNICORN_CMD_ARGS": quoted}, *["GUNICORN_CMD_ARGS"] * 2),
        ):
            error = refuse(lambda argv=argv, environ=environ: load(invocation(argv, environ)))
            told = capsys.readouterr().err
            if isinstance(error, SystemExit):
                assert error.code == 2
                assert f"argument {both}: " in told and row.kind.valid in told, told
                assert told.rstrip().endswith(f"(in {tail})" if tail else row.kind.valid), told
            else:
                assert told == ""
                is_a_sentence(row, error, "", f"{place}, {both}")


@each_row
def test_in_a_paste_file(row: Setting, folder: Path) -> None:
    """[server:main], as pserve hands it over: a mapping of names and texts."""
    path = folder / "site.ini"
    path.touch()
    for text in texts(row):

        def give(text: str = text) -> object:
            layer = layer_of(str(path), {row.name: text})
            started = invocation(["app:app"], {})
            program = Program(str(path), lambda: (layer, NOTHING), lambda _: None)
            return load(started._replace(program=program))

        is_a_sentence(row, refuse(give), "", f"{path}, [server:main]")


# Through the command

#: What would be left behind by a start that was given up halfway.
TRACES = ["--pid", "a.pid", "-b", "unix:a.sock", "--access-logfile", "a.log", "--log-file", "e.log"]

SAMPLE = {
    "flag": (["--timeout", "-5"], {}, "", "timeout: -5 (from the command line, -t/--timeout)"),
    "arguments": (
        [],
        {"GUNICORN_CMD_ARGS": "--header-map allow"},
        "",
        "header_map: 'allow' (from GUNICORN_CMD_ARGS, --header-map)",
    ),
    "variable": (
        [],
        {"CGUNICORN_PRELOAD_APP": "perhaps"},
        "",
        "preload_app: 'perhaps' (from the environment variable CGUNICORN_PRELOAD_APP)",
    ),
    "default": (
        [],
        {"WEB_CONCURRENCY": "many"},
        "",
        "workers: 'many' (from the environment variable WEB_CONCURRENCY)",
    ),
    "file": ([], {}, "\nkeepalive = float('nan')", "keepalive: nan (from gunicorn.conf.py:2)"),
    "file of any name": (
        ["-c", "file:gunicorn.conf.py"],
        {},
        "umask = 'rwx'",
        "umask: 'rwx' (from file:gunicorn.conf.py:1)",
    ),
    "module": (
        ["-c", "python:mine"],
        {},
        "",
        "pre_fork: <function pre_fork at 0x",
    ),
    "function": (
        [],
        {},
        "def post_fork(worker):\n    pass",
        "post_fork: <function post_fork at 0x",
    ),
    "ini": (["--ini", "site.ini"], {}, "", "workers: 'many' (from site.ini:2, "),
    "paste": (
        ["--paste", "paste.ini"],
        {},
        "",
        "workers: 'many' (from {}/paste.ini, [server:main]",
    ),
}


@pytest.mark.parametrize("background", [[], ["--daemon"]], ids=["foreground", "daemon"])
@pytest.mark.parametrize("case", SAMPLE)
def test_command_leaves_nothing_behind(folder: Path, case: str, background: list[str]) -> None:
    args, environ, source, told = SAMPLE[case]
    (folder / "mine.py").write_text("def pre_fork(server):\n    pass\n")
    (folder / "site.ini").write_text("[uwsgi]\nprocesses = many\n")
    (folder / "paste.ini").write_text("[server:main]\nuse = egg:cgunicorn#main\nworkers = many\n")
    if source:
        (folder / "gunicorn.conf.py").write_text(source + "\n")
    before = sorted(folder.iterdir())
    done = run_command(folder, *args, *background, *TRACES, "app:app", env=environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: Invalid value for {told.format(folder)}"), done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(".\n"), done.stderr
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before
