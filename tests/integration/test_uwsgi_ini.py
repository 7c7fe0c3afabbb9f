# SPDX-License-Identifier: MIT
"""uWSGI's ini files and command lines: the grammar, what becomes of each option, and the files of
tutorials served for real."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from cgunicorn.cli import invocation
from cgunicorn.config import Config, load
from cgunicorn.errors import ConfigError
from cgunicorn.settings import SETTINGS
from cgunicorn.uwsgi import reference
from cgunicorn.uwsgi.options import BY_NAME, OPTIONS, Effect, find
from harness import Server, poll, run_command
from uwsgi import packet

APP = """\
import os, sys
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr((os.getcwd(), __name__, sys.version_info[:2])).encode()]
application = app
"""

#: The file of the first tutorial, as it stands there.
FULL = """\
[uwsgi]
chdir = /home/jm/PycharmProjects/transfer-file-api-flask/PlatformServer/
callable = app
process = 2
module = wsgi:app
master = true
http = :5000
socket = /tmp/uwsgi.sock
chmod-socket = 666
die-on-term = true
ignore-sigpipe=true
socket-timeout = 3000
http-timeout = 3000
ignore-write-errors=true
disable-write-exception=true
"""

#: That of the second.
SHORT = """\
[uwsgi]
chdir=/home/ubuntu/helloWorld
chmod-socket=666
callable=app
module=app
socket=/tmp/uwsgi.sock
virtualenv=/home/ubuntu/helloWorld/.venv
"""

Serve = Callable[..., Server]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an application in app.py."""
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_of(text: str, *args: str, **environ: str) -> Config:
    """The configuration by an ini file in the working folder."""
    Path("uwsgi.ini").write_text(text)
    return load(invocation(["--ini", "uwsgi.ini", *args], environ))


def config_by(keys: str, *args: str, **environ: str) -> Config:
    return config_of(f"[uwsgi]\nmodule = app:app\n{keys}\n", *args, **environ)


def line(*args: str, **environ: str) -> Config:
    return load(invocation(args, environ))


# The grammar


def test_comments_begin_a_line(folder: Path) -> None:
    config = config_by("; one\n # two\nprocname = a ; b # c")
    assert config.proc_name == "a ; b # c"


def test_a_named_section_is_read(folder: Path) -> None:
    text = "[uwsgi]\nprocesses = 1\n[two]\nmodule = app\nprocesses = 2\n"
    Path("uwsgi.ini").write_text(text)
    assert line("--ini", "uwsgi.ini:two").workers == 2
    assert line("uwsgi.ini:two").workers == 2


def test_a_section_that_is_not_there_is_told(folder: Path) -> None:
    Path("uwsgi.ini").write_text("[other]\n")
    with pytest.raises(ConfigError, match=r"^uwsgi.ini has no section \[uwsgi\]\.$"):
        line("uwsgi.ini")


@pytest.mark.parametrize(("word", "is_on"), [("", True), ("= true", True), ("= 1", True)])
def test_a_switch_is_on(folder: Path, word: str, is_on: bool) -> None:
    assert config_by(f"reuse-port {word}").reuse_port is is_on


@pytest.mark.parametrize("word", ["false", "off", "No", "0"])
def test_a_switch_is_off(folder: Path, word: str) -> None:
    assert config_by(f"reuse-port = {word}").reuse_port is False


def test_repeated_keys_add_up_or_the_last_counts(folder: Path) -> None:
    config = config_by("socket = a\nsocket = b\nprocesses = 2\nprocesses = 3\nenv = A=1\nenv = B=2")
    assert config.bind == ["uwsgi:unix:a", "uwsgi:unix:b"]
    assert (config.workers, config.raw_env) == (3, ["A=1", "B=2"])


def test_keys_of_any_name_are_placeholders(folder: Path) -> None:
    config = config_by("socket = %(base)/%(name).sock\nbase = /run\nname = x")
    assert (config.bind, config.warnings) == (["uwsgi:unix:/run/x.sock"], ())


def test_an_unknown_placeholder_stays(folder: Path) -> None:
    assert config_by("procname = %(what)").proc_name == "%(what)"


def test_a_placeholder_may_be_set_by_name(folder: Path) -> None:
    assert config_by("set-placeholder = x=7\nprocesses = %(x)").workers == 7
    assert config_by("processes = %(x)", "--set", "x=6").workers == 6


def test_magic_variables(folder: Path) -> None:
    text = "procname = %d|%n|%s|%e|%p|%c|%k|%u|%h|%%|%0|%x"
    path = Path("uwsgi.ini").resolve()
    parent = path.parent
    expected = [
        *(f"{parent}/", "uwsgi", "uwsgi.ini", "ini", str(path), parent.name),
        *(str(os.cpu_count()), str(os.getuid()), socket.gethostname(), "%"),
        *(parent.parts[1], f"{path}:uwsgi"),
    ]
    assert config_by(text).proc_name.split("|") == expected


def test_environment_and_files_fill_in(folder: Path) -> None:
    Path("number").write_text("5\n")
    config = config_by("processes = @(number)\nprocname = $(WHO)-$(NOBODY)", WHO="me")
    assert (config.workers, config.proc_name) == (5, "me-$(NOBODY)")


@pytest.mark.parametrize("key", ["ini", "include"])
def test_other_files_are_included(folder: Path, key: str) -> None:
    Path("other.ini").write_text("[uwsgi]\nprocesses = 4\nprocname = %n\n")
    config = config_by(f"where = other\nprocesses = 2\n{key} = %(where).ini")
    assert (config.workers, config.proc_name) == (4, "other")


def test_another_section_of_the_same_file_is_included(folder: Path) -> None:
    assert config_by("ini = :base\n[base]\nprocesses = 4").workers == 4


def test_a_file_that_includes_itself_is_told(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^uwsgi.ini:3: uwsgi.ini is being read already\.$"):
        config_by("ini = uwsgi.ini")


def test_variables_of_the_environment(folder: Path) -> None:
    config = config_by("procname = %(stage)", UWSGI_PROCESSES="3", UWSGI_STAGE="test")
    assert (config.workers, config.proc_name, config.warnings) == (3, "test", ())


def test_variables_mean_nothing_beside_flags_of_our_own(folder: Path) -> None:
    assert line("app:app", UWSGI_PROCESSES="3").workers == 1


def test_bytes_that_are_no_text_do_not_matter(folder: Path) -> None:
    Path("uwsgi.ini").write_bytes(b"[uwsgi]\nmodule = app\n; \xff\xfe\nprocesses = 2\n")
    assert line("uwsgi.ini").workers == 2


# Keys


@pytest.mark.parametrize(
    ("keys", "setting", "value"),
    [
        ("http = :5000", "bind", ["http://:5000"]),
        ("http = *:5000", "bind", ["http://:5000"]),
        ("http-socket = [::1]:80", "bind", ["http://[::1]:80"]),
        ("socket = 127.0.0.1:3031", "bind", ["uwsgi://127.0.0.1:3031"]),
        ("socket = @name", "bind", ["uwsgi:unix:@name"]),
        ("socket = fd://3", "bind", ["uwsgi:fd://3"]),
        ("protocol = http\nsocket = x", "bind", ["http:unix:x"]),
        ("chmod-socket", "umask", 0o111),
        ("chmod-socket = 660", "umask", 0o117),
        ("chmod-socket = 660\numask = 022", "umask", 0o117),
        ("umask = 022", "umask", 0o022),
        ("wsgi-file = x/app.py\nmodule =", "app_spec", "file:x/app.py"),
        ("callable = other", "app_spec", "app:app"),
        ("module = app\ncallable = other", "app_spec", "app:other"),
        ("module = app:make()", "app_spec", "app:make()"),
        ("harakiri = 20", "timeout", 20),
        ("", "timeout", 0),
        ("", "accesslog", "-"),
        ("disable-logging = true", "accesslog", None),
        ("logto = /tmp/x.log", "errorlog", "/tmp/x.log"),
        ("logto = /tmp/x.log", "accesslog", "/tmp/x.log"),
        ("daemonize = /tmp/x.log", "daemon", True),
        ("req-logger = file:/tmp/y.log", "accesslog", "/tmp/y.log"),
        ("socket-timeout = 7", "send_timeout", 7),
        ("socket-timeout = 7", "client_body_timeout", 7),
        ("http-timeout = 8", "client_header_timeout", 8),
        ("http-keepalive", "keepalive", 60),
        ("http-keepalive = 5", "keepalive", 5),
        ("max-requests = 9", "max_requests", 9),
        ("max-worker-lifetime = 9", "max_worker_lifetime", 9),
        ("reload-on-rss = 200", "reload_on_rss", 200),
        ("listen = 100", "backlog", 100),
        ("threads = 3", "worker_class", "gthread"),
        ("uid = 65534", "user", 65534),
        ("gid = 65534", "group", 65534),
        ("pidfile = x.pid", "pidfile", "x.pid"),
        ("py-autoreload = 1", "reload", True),
        ("py-autoreload = 0", "reload", False),
        ("pythonpath = a\npythonpath = b", "pythonpath", "a,b"),
        ("post-buffering = 8192", "client_body_buffer_size", 8192),
        ("limit-post = 99", "limit_request_body", 99),
        ("procname = site", "proc_name", "site"),
        ("worker-reload-mercy = 5", "graceful_timeout", 5),
    ],
)
def test_a_key_becomes_a_setting(folder: Path, keys: str, setting: str, value: object) -> None:
    assert getattr(config_by(keys), setting) == value


#: A value that each option with a setting takes, where "1" is none.
VALUES = {
    **dict.fromkeys(("pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2"), "a.pid"),
    **dict.fromkeys(("socket", "uwsgi-socket", "http-socket", "http"), "x.sock"),
    **dict.fromkeys(("chmod-socket", "chmod"), "660"),
    **dict.fromkeys(("logger", "req-logger"), "file:/dev/null"),
    **dict.fromkeys(("protocol", "socket-protocol"), "http"),
    **dict.fromkeys(("plugin", "plugins", "need-plugin"), "python3"),
    **dict.fromkeys(("set-placeholder", "set-ph", "set"), "x=1"),
    **dict.fromkeys(("chdir",), "."),
    "paste": "/dev/null",  # on the command line the flag is ours, and the file is read
    "env": "A=1",
}


@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row.names[0])
def test_every_name_of_a_row_has_its_effect(folder: Path, row: object) -> None:
    for name in row.names:  # type: ignore[attr-defined]
        key = name.replace("*", "x")
        assert find(key) is row
        keys = f"{key} = {VALUES.get(name, '1')}"
        if row.effect is Effect.REFUSED:  # type: ignore[attr-defined]
            with pytest.raises(ConfigError, match=r"can't be had here: .*\.$"):
                config_by(keys)
            continue
        warnings = config_by(keys).warnings
        is_absent = row.effect is Effect.ABSENT  # type: ignore[attr-defined]
        assert [f"{key}: has no effect here: " in w for w in warnings] == [True] * is_absent


def test_names_are_unique_and_settings_exist() -> None:
    names = [name for row in OPTIONS for name in (*row.names, *row.misspelt)]
    assert sorted(set(names)) == sorted(names)
    assert {name for row in OPTIONS for name in (*row.settings, *row.also)} <= set(SETTINGS)
    assert len({row.short for row in OPTIONS if row.short}) == sum(bool(r.short) for r in OPTIONS)


def test_the_documentation_is_what_the_table_says() -> None:
    written = Path(__file__).parents[2] / "docs" / "from-uwsgi.md"
    assert written.read_text() == "\n".join(reference.pages()), "run ./dev docs"


def test_an_unknown_key_draws_a_warning(folder: Path) -> None:
    warnings = config_by("chmod_socket = 660\nfrobnicate = 1").warnings
    assert warnings == (
        "uwsgi.ini:3: unknown option 'chmod_socket', did you mean 'chmod-socket'?",
        "uwsgi.ini:4: unknown option 'frobnicate'.",
    )


def test_process_is_taken_for_processes(folder: Path) -> None:
    config = config_by("process = 3")
    assert config.workers == 3
    assert config.warnings == (
        "uwsgi.ini:3: 'process' is no option of uWSGI, which ignores it; it is taken for"
        " 'processes'.",
    )


def test_strict_makes_an_unknown_key_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^uwsgi.ini:4: unknown option 'procesess'"):
        config_by("strict = true\nprocesess = 1")


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("processes = many", "Invalid value for workers: 'many' (from uwsgi.ini:3, processes):"),
        ("chmod-socket = 66", "Invalid value for chmod-socket: '66' (from uwsgi.ini:3): it must"),
        ("http = 5000", "(from uwsgi.ini:3): it is no address, did you mean ':5000'?"),
        ("plugins = php", "(from uwsgi.ini:3): there are no plugins, and so there is no 'php'."),
        ("procname = @(gone)", "uwsgi.ini:3: can't read 'gone': No such file or directory."),
        ("procname = @(http://x/)", "uwsgi.ini:3: @(http://x/) can't be read, only files can."),
        ("https = :443,a,b", "https (from uwsgi.ini:3) can't be had here: this version"),
        ("ini = gone.ini", "uwsgi.ini:3: can't read 'gone.ini': No such file or directory."),
    ],
)
def test_mistakes_are_told_with_file_and_line(folder: Path, keys: str, sentence: str) -> None:
    (folder / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = app:app\n{keys}\n")
    done = run_command(folder, "uwsgi.ini", "--check-config")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: [^\n]*\n", done.stderr), done.stderr
    assert sentence in done.stderr


def test_check_config_shows_what_became_of_each_key(folder: Path) -> None:
    keys = "socket = x\nthreads = 2\nmaster = 1\nstats = :1717\nmine = 1"
    (folder / "uwsgi.ini").write_text(f"[uwsgi]\nmodule = app\n{keys}\n")
    done = run_command(folder, "--ini", "uwsgi.ini", "-p", "3", "--check-config")
    assert done.returncode == 0, done.stderr
    rows = [re.split(r"\s{2,}", row) for row in done.stdout.splitlines()]
    assert rows == [
        ["uwsgi.ini:2", "module = app", "-> wsgi_app = app"],
        ["uwsgi.ini:3", "socket = x", "-> bind = ['uwsgi:unix:x']"],
        ["uwsgi.ini:4", "threads = 2", "-> threads = 2"],
        ["uwsgi.ini:5", "master = 1", "nothing to do: there always is one"],
        [
            *("uwsgi.ini:6", "stats = :1717"),
            "no effect: the access log and the setting statsd_host tell",
        ],
        ["uwsgi.ini:7", "mine = 1", "unknown, ignored"],
        ["the command line, -p", "processes = 3", "-> workers = 3"],
        ["uWSGI's default", "-> accesslog = -"],
        ["uWSGI's default", "-> timeout = 0"],
    ]


# Command lines


def test_flags_of_our_own_win(folder: Path) -> None:
    args = ("--workers", "5", "-b", "127.0.0.1:1", "--threads", "2")
    config = config_by("processes = 2\nsocket = x\nthreads = 4", *args)
    assert (config.workers, config.bind, config.threads) == (5, ["127.0.0.1:1"], 2)


def test_what_is_stronger_wins(folder: Path) -> None:
    assert config_by("processes = 2", CGUNICORN_WORKERS="3").workers == 3
    assert config_by("processes = 2", "--processes", "4", CGUNICORN_WORKERS="3").workers == 4
    assert config_by("processes = 2", "-p", "4", "--workers", "5").workers == 5


def test_short_flags_mean_what_they_mean_in_uwsgi(folder: Path) -> None:
    config = line("-s", "x.sock", "-w", "app:app", "-p", "4", "-R", "9", "-M", "-L", "-z", "7")
    assert (config.app_spec, config.workers, config.max_requests) == ("app:app", 4, 9)
    assert (config.pidfile, config.accesslog, config.send_timeout) == (None, None, 7)


def test_short_flags_are_gunicorns_in_other_lines(folder: Path) -> None:
    config = line("-p", "4", "-w", "2", "-R", "app:app")
    assert (config.pidfile, config.workers, config.enable_stdio_inheritance) == ("4", 2, True)


def test_a_number_behind_w_is_the_number_of_workers(folder: Path) -> None:
    assert line("--http", ":5000", "-w", "3", "app:app").workers == 3


def test_pid_is_the_pidfile_in_every_line(folder: Path) -> None:
    assert line("--http", ":5000", "--pid", "x.pid", "app:app").pidfile == "x.pid"


@pytest.mark.parametrize("flag", ["--chmod-socket", "-C"])
def test_an_optional_value_stands_behind_an_equals_sign(folder: Path, flag: str) -> None:
    Path("uwsgi.ini").write_text("[uwsgi]\nmodule = app\n")
    assert line("-s", "x", flag, "uwsgi.ini").umask == 0o111
    assert line("-s", "x", "--chmod-socket=660", "uwsgi.ini").umask == 0o117


def test_a_file_of_python_is_the_application(folder: Path) -> None:
    assert line("--http", ":5000", "app.py", "--callable", "app").app_spec == "file:app.py:app"


def test_an_ini_file_that_is_the_value_of_a_flag_is_no_such_file(folder: Path) -> None:
    config = line("--log-config", "logging.ini", "app:app")
    assert (config.logconfig, config.timeout) == ("logging.ini", 30)


def test_the_default_files_of_gunicorn_are_not_read(folder: Path) -> None:
    Path("gunicorn.conf.py").write_text("workers = 7\nproc_name = 'x'\n")
    assert config_by("").workers == 1
    assert config_by("processes = 2", "-c", "gunicorn.conf.py").workers == 2


@pytest.mark.parametrize("name", [n for n in BY_NAME if find(n).effect is not Effect.REFUSED])  # type: ignore[union-attr]
def test_every_option_may_stand_on_the_command_line(folder: Path, name: str) -> None:
    row = BY_NAME[name]
    value = VALUES.get(name, "1")
    line("-s", "x.sock", f"--{name}" if row.arity.value == 0 else f"--{name}={value}", "app:app")


# Served


def ask(server: Server, path: str) -> tuple[str, str, tuple[int, int]]:
    """What the application says of itself over the uwsgi protocol, on a unix socket."""
    with server.connect_unix(path) as client:
        client.send(packet())
        response = client.response()
    assert response.status == 200
    return eval(response.body)  # type: ignore[no-any-return]


def start(serve: Serve, *args: str) -> Server:
    return serve(None, *args, bind=(), spec="")


@pytest.mark.parametrize("args", [("-i", "uwsgi.ini"), ("--ini", "uwsgi.ini"), ("uwsgi.ini",)])
def test_the_file_of_the_first_tutorial(folder: Path, serve: Serve, args: tuple[str, ...]) -> None:
    project = folder / "project"
    project.mkdir()
    (project / "app.py").write_text(APP)
    (project / "wsgi.py").write_text('from app import app\nif __name__ == "__main__":\n    app\n')
    text = FULL.replace("/tmp/", f"{folder}/").replace(":5000", "127.0.0.1:0")
    (folder / "uwsgi.ini").write_text(re.sub("chdir = .*", f"chdir = {project}/", text))
    server = start(serve, *args)
    assert len(server.wait_workers(2)) == 2
    assert ask(server, "uwsgi.sock")[:2] == (str(project), "app")
    assert eval(server.get().body)[0] == str(project)
    assert stat.S_IMODE((folder / "uwsgi.sock").stat().st_mode) == 0o666
    server.wait_log(r'"GET / HTTP/1.1" 200')
    assert server.stop() == 0
    assert not (folder / "uwsgi.sock").exists()


@pytest.fixture(scope="module")
def virtualenv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of this Python, with a module of its own and without this server."""
    home = tmp_path_factory.mktemp("environment") / ".venv"
    command = [sys.executable, "-m", "venv", "--without-pip", str(home)]
    subprocess.run(command, check=True, timeout=60)
    (packages(home) / "only_there.py").write_text("NAME = 'only there'\n")
    return home


def packages(home: Path) -> Path:
    return home / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)


APP_OF_VENV = "import sys, only_there\n" + APP.replace("__name__,", "[__name__, sys.prefix],")


@pytest.fixture
def project(folder: Path, virtualenv: Path) -> Path:
    """A folder with `.venv` and an application that needs it."""
    (folder / ".venv").symlink_to(virtualenv)
    (folder / "app.py").write_text(APP_OF_VENV)
    (folder / "yourapplication.py").write_text(APP_OF_VENV)
    return folder


def test_the_file_of_the_second_tutorial(project: Path, serve: Serve) -> None:
    text = SHORT.replace("/tmp/", f"{project}/").replace("/home/ubuntu/helloWorld", str(project))
    (project / "uwsgi.ini").write_text(text)
    server = start(serve, "uwsgi.ini")
    assert ask(server, "uwsgi.sock")[1][0] == "app"
    assert stat.S_IMODE((project / "uwsgi.sock").stat().st_mode) == 0o666


def test_the_command_line_with_a_module(project: Path, serve: Serve) -> None:
    words = "--module yourapplication --callable app --venv .venv"
    server = start(serve, "-s", f"{project}/uwsgi.sock", *words.split())
    assert ask(server, "uwsgi.sock")[1][0] == "yourapplication"


def test_the_command_line_with_a_file(project: Path, serve: Serve) -> None:
    words = "--wsgi-file app.py --callable app -H .venv"
    server = start(serve, "-s", f"{project}/uwsgi.sock", *words.split())
    assert ask(server, "uwsgi.sock")[1][0] == "uwsgi_file_app_py"


def test_an_environment_that_has_the_server_runs_it(project: Path, serve: Serve) -> None:
    home = project / "with_server"
    command = [sys.executable, "-m", "venv", "--without-pip", str(home)]
    subprocess.run(command, check=True, timeout=60)
    (packages(home) / "only_there.py").touch()
    import cgunicorn

    (packages(home) / "server.pth").write_text(str(Path(cgunicorn.__file__).parents[1]))
    server = start(serve, "-s", f"{project}/x.sock", "--module", "app", "-H", "with_server")
    assert Path(ask(server, "x.sock")[1][1]).samefile(home)
    assert server.stop() == 0


def test_an_environment_of_another_python_is_told(folder: Path) -> None:
    python = folder / "old" / "bin" / "python"
    python.parent.mkdir(parents=True)
    answer = {"prefix": "/", "version": "3.2", "abi": "x", "packages": [], "has_server": False}
    python.write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    python.chmod(0o755)
    done = run_command(folder, "-s", "x.sock", "--module", "app", "-H", "old")
    ours = "{}.{}".format(*sys.version_info)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: The virtual environment '{folder}/old' is for Python 3.2, and this is Python"
        f" {ours}; install cgunicorn in it: {folder}/old/bin/python -m pip install cgunicorn.\n"
    )


def test_an_environment_that_is_none_is_told(folder: Path) -> None:
    done = run_command(folder, "-s", "x.sock", "--module", "app", "-H", "gone")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: '{folder}/gone' is no virtual environment: '{folder}/gone/bin/python' can't be"
        " run.\n"
    )


def test_an_application_file_that_is_not_there_is_told(folder: Path) -> None:
    done = run_command(folder, "-s", "x", "--wsgi-file", "gone.py", "--check-config")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: There is no file 'gone.py' (looked for in {os.path.realpath(folder)}).\n"
    )


def test_a_reload_reads_the_file_again(folder: Path, serve: Serve) -> None:
    text = "[uwsgi]\nmodule = app:app\nsocket = x.sock\nprocesses = {}\n"
    ini = folder / "uwsgi.ini"
    ini.write_text(text.format(1))
    server = start(serve, "uwsgi.ini")
    first = server.wait_workers(1)
    ini.write_text(text.format(3))
    server.send_signal(signal.SIGHUP)
    poll(lambda: len(set(server.workers()) - set(first)) == 3, "three new workers")
    server.wait_workers(3)
    ini.write_text(text.format("several"))
    server.send_signal(signal.SIGHUP)
    server.wait_log(r"Invalid value for workers: 'several' \(from uwsgi.ini:4, processes\)")
    assert ask(server, "x.sock")[1] == "app"
    assert len(server.workers()) == 3
