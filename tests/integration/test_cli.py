# SPDX-License-Identifier: MIT
"""The command up to where the server starts: help, versions, checks, messages, exit codes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cgunicorn
import pytest
from cgunicorn.settings import SECTIONS, SETTINGS, Setting
from harness import run_command as run
from harness import server_environment

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def test_version_names_what_is_built_in(folder: Path) -> None:
    done = run(folder, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first == f"cgunicorn (version {cgunicorn.__version__})"
    python = f"CPython {sys.version.split()[0]}"
    assert re.fullmatch(rf"llhttp \d+\.\d+\.\d+, libuv \d+\.\d+\.\d+\S*, {python}", second)


def test_help_has_one_line_for_each_setting(folder: Path) -> None:
    done = run(folder, "--help", env={"COLUMNS": "40"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for row in SETTINGS.values():
        flags = ", ".join(row.flags)
        found = [line for line in lines if flags and line.startswith(f"  {flags} ")]
        assert [row.help in line for line in found] == [True] * shown(row), row.name
    headings = [line[:-1] for line in lines if re.fullmatch(r"\S.*:", line)]
    sections = [s for s in SECTIONS if any(shown(r) for r in SETTINGS.values() if r.section == s)]
    assert [h for h in headings if h in SECTIONS] == sections


def shown(row: Setting) -> bool:
    """Whether --help has a line for it: what has no effect stands in the documentation alone."""
    return bool(row.flags) and not row.instead


def test_print_config_is_sorted_and_padded(folder: Path) -> None:
    done = run(folder, "app:app", "--print-config", "-b", "a:1", "-b", "b:2", "--keep-alive", "5")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    width = max(map(len, SETTINGS))
    assert [line[: width + 3] for line in lines] == [f"{n:{width}} = " for n in sorted(SETTINGS)]
    values = {line[:width].strip(): line[width + 3 :] for line in lines}
    assert values["bind"] == "['a:1', 'b:2']"
    assert values["keepalive"] == "5"
    assert values["accesslog"] == "None"
    assert values["chdir"] == str(folder)
    assert values["print_config"] == "True"


def test_print_config_shows_what_cannot_be_encoded(folder: Path) -> None:
    done = run(folder, "app:app", "--print-config", "--log-file", "\udcff\u20ac.log")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^errorlog += \\udcff", done.stdout, re.MULTILINE)


def test_print_config_checks_the_application_too(folder: Path) -> None:
    done = run(folder, "app:nope", "--print-config")
    assert done.returncode == 1
    assert done.stdout
    assert done.stderr == "Error: Failed to find attribute 'nope' in 'app'.\n"


def test_check_config_is_silent_when_all_is_well(folder: Path) -> None:
    done = run(folder, "app:app", "--check-config")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_check_config_honours_pythonpath_env_and_chdir(folder: Path) -> None:
    (folder / "inner" / "lib").mkdir(parents=True)
    (folder / "inner" / "needs.py").write_text(
        "import os, a_lib\nos.environ['A_NAME']\napp = print"
    )
    (folder / "inner" / "lib" / "a_lib.py").touch()
    args = ["needs:app", "--check-config", "--chdir", "inner"]
    assert run(folder, *args).returncode == 1
    done = run(folder, *args, "--pythonpath", "lib", "-e", "A_NAME=1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("flag", ["--check-config", "--preload"])
def test_exception_of_the_application_keeps_its_traceback_and_no_more(
    folder: Path, flag: str
) -> None:
    (folder / "raises.py").write_text("def f():\n    1 / 0\nf()\n")
    done = run(folder, "raises:app", flag)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert re.findall(r'File "(.*?)", line (\d+)', done.stderr) == [
        (str(folder / "raises.py"), "3"),
        (str(folder / "raises.py"), "2"),
    ]
    assert done.stderr.endswith("\nError: Error while loading the application.\n")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            [],
            "No application module specified. Name it as in `cgunicorn package.module:app`, or by"
            " wsgi_app in a configuration file.",
        ),
        (
            ["app:ap", "--check-config"],
            "Failed to find attribute 'ap' in 'app', did you mean 'app:app'?",
        ),
        (
            ["app.app", "--check-config"],
            "No module named 'app.app'; 'app' is not a package, did you mean 'app:app'?",
        ),
        (["app.py", "--preload"], "Failed to find application, did you mean 'app:application'?"),
        (
            ["app", "--check-config"],
            "Failed to find attribute 'application' in 'app', did you mean 'app:app'?",
        ),
        (["app:app", "-c", "nowhere.py"], "'nowhere.py' doesn't exist."),
        (
            ["app:app", "--log-file", "nowhere/x"],
            "Can't open the log 'nowhere/x': No such file or directory.",
        ),
    ],
)
def test_mistake_is_one_line_and_exit_code_1(folder: Path, args: list[str], sentence: str) -> None:
    done = run(folder, *args)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"Error: {sentence}\n")


@pytest.mark.parametrize(
    ("name", "flags", "value", "reason"),
    [
        ("chdir", "--chdir", "'nowhere'", "can't chdir to 'nowhere'."),
        ("workers", "-w/--workers", "1001", "it must be an integer from 0 to 1000 or 'auto'."),
        (
            "worker_class",
            "-k/--worker-class",
            "'mine.Worker'",
            "this version has the worker classes 'sync', 'async' and 'gthread'.",
        ),
        ("raw_env", "-e/--env", "'A'", "environment setting 'A' invalid, it must be NAME=VALUE."),
        ("bind", "-b/--bind", "'a:zz'", "'zz' is not a valid port number."),
    ],
)
def test_wrong_value_is_one_line_and_exit_code_1(
    folder: Path, name: str, flags: str, value: str, reason: str
) -> None:
    done = run(folder, "app:app", flags.split("/")[0], value.strip("'"))
    told = f"Error: Invalid value for {name}: {value} (from the command line, {flags}): {reason}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


@pytest.mark.parametrize(
    ("args", "env", "told"),
    [
        (["--nope"], {}, "unrecognized arguments: --nope"),
        (["app:app", "other:app"], {}, "unrecognized arguments: other:app"),
        (["-w", "many"], {}, "argument -w/--workers: 'many' is not an integer or 'auto'"),
        (["--worker"], {}, "ambiguous option: --worker could match --workers"),
        (
            [],
            {"GUNICORN_CMD_ARGS": "-w x"},
            "'x' is not an integer or 'auto' (in GUNICORN_CMD_ARGS)",
        ),
    ],
)
def test_wrong_command_line_is_exit_code_2(
    folder: Path, args: list[str], env: dict[str, str], told: str
) -> None:
    done = run(folder, *args, env=env)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("--bnd :8000", "unrecognized arguments: --bnd :8000; did you mean --bind?"),
        ("--port 8000", "unrecognized arguments: --port 8000; use -b HOST:PORT"),
        ("--host=0.0.0.0", "unrecognized arguments: --host=0.0.0.0; use -b HOST:PORT"),
        ("--keepalive 5", "unrecognized arguments: --keepalive 5; did you mean --keep-alive?"),
        (
            "--max_requests 4",
            "unrecognized arguments: --max_requests 4; did you mean --max-requests?",
        ),
        ("--preload-app", "unrecognized arguments: --preload-app; did you mean --preload?"),
        ("--accesslog -", "unrecognized arguments: --accesslog -; did you mean --access-logfile?"),
        (
            "--limit-request-field-size 5",
            "unrecognized arguments: --limit-request-field-size 5; did you mean"
            " --limit-request-field_size?",
        ),
        (
            "--wsgi-app shop:app",
            "unrecognized arguments: --wsgi-app shop:app; wsgi_app has no flag, a configuration"
            " file or CGUNICORN_WSGI_APP sets it",
        ),
        ("--zzz", "unrecognized arguments: --zzz"),
        (
            "--reload true",
            "unrecognized arguments: true; the application is 'app:app' already, and flags that"
            " switch something on take no value",
        ),
        ("--daemon=yes", "argument -D/--daemon: it takes no value, not even 'yes'"),
        (
            "-workers 4",
            "argument -w/--workers: 'orkers' is not an integer or 'auto'; did you mean --workers?",
        ),
        (
            "-timeout 4",
            "argument -t/--timeout: 'imeout' is not an integer; did you mean --timeout?",
        ),
        ("--timeout 30s", "argument -t/--timeout: '30s' is not an integer"),
        ("--workers", "argument -w/--workers: expected one argument"),
    ],
)
def test_wrong_command_line_says_what_to_do(folder: Path, args: str, told: str) -> None:
    done = run(folder, "app:app", *args.split())
    assert done.returncode == 2
    assert done.stderr == f"usage: cgunicorn [OPTIONS] [APP_MODULE]\ncgunicorn: error: {told}\n"


@pytest.mark.parametrize(
    ("bind", "meant"), [("8000", ":8000"), ("/run/a", "unix:/run/a"), ("./a.s", "unix:./a.s")]
)
def test_bind_without_its_form_is_told_it(folder: Path, bind: str, meant: str) -> None:
    done = run(folder, "app:app", "-b", bind)
    assert done.returncode == 1
    assert done.stderr.endswith(f": {bind!r} is no address, did you mean {meant!r}?\n")


def test_a_digit_beyond_ascii_is_a_name_like_any_other(folder: Path) -> None:
    done = run(folder, "app:app", "-b", "²", "--check-config")
    assert (done.returncode, done.stderr) == (0, "")


def test_several_addresses_in_one_are_told(folder: Path) -> None:
    done = run(folder, "app:app", "-b", "127.0.0.1:1,127.0.0.1:2")
    assert done.returncode == 1
    assert done.stderr.endswith(
        "'127.0.0.1:1,127.0.0.1:2' is no address; each of several has a -b of its own.\n"
    )


def test_pidfile_that_looks_like_a_port_draws_a_warning(folder: Path) -> None:
    done = run(folder, "app:app", "-p", "8000", "--check-config")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "Warning: pidfile (from the command line) is the file '8000'; an address is given as in"
        " -b :8000.\n"
    )


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--workers=2"], "workers", "2"),
        (["-w2"], "workers", "2"),
        (["--max-requests-j", "2"], "max_requests_jitter", "2"),
        (["--backl", "7"], "backlog", "7"),
        (["-m", "0022"], "umask", "18"),
        (["--no-sendfile"], "sendfile", "False"),
        (["-e", "A=1", "-e", "B=2"], "raw_env", "['A=1', 'B=2']"),
        (["--limit-request-field_size", "9"], "limit_request_field_size", "9"),
    ],
)
def test_flag_forms(folder: Path, args: list[str], name: str, value: str) -> None:
    done = run(folder, "--print-config", *args, "app:app")
    assert re.search(rf"^{name} += (.*)$", done.stdout, re.M).group(1) == value


def test_warning_does_not_stop_anything(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("worker_clas = 'sync'\n")
    done = run(folder, "app:app", "--check-config")
    assert done.returncode == 0
    assert done.stderr == (
        "Warning: gunicorn.conf.py:1: unknown setting 'worker_clas', did you mean 'worker_class'?\n"
    )


def test_config_that_raises_ends_in_one_sentence(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("workers = 1\nraise KeyError('mine')\n")
    done = run(folder, "app:app", "--check-config")
    assert done.returncode == 1
    assert re.findall(r'File "(.*?)", line (\d+)', done.stderr) == [("gunicorn.conf.py", "2")]
    assert done.stderr.endswith(
        "KeyError: 'mine'\nError: Failed to read config file: gunicorn.conf.py\n"
    )


def test_package_alone_does_not_load_the_extension() -> None:
    code = "import sys, cgunicorn; print('cgunicorn._cgunicorn' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=server_environment(), capture_output=True, text=True
    )
    assert done.stdout == "False\n"
