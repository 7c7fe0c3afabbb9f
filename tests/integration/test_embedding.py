# SPDX-License-Identifier: MIT
"""Python programs that run the server: cgunicorn.app, as programs use gunicorn.app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import PATIENCE, Server, poll, run_command, server_environment

Serve = Callable[..., Server]

#: The example of Gunicorn's documentation, "Custom Application", with the import changed.
STANDALONE = """
import cgunicorn.app.base

def handler_app(environ, start_response):
    response_body = b"Works fine"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [response_body]

class StandaloneApplication(cgunicorn.app.base.BaseApplication):

    def __init__(self, app, options=None):
        self.options = options or {}
        self.application = app
        super().__init__()

    def load_config(self):
        config = {key: value for key, value in self.options.items()
                  if key in self.cfg.settings and value is not None}
        for key, value in config.items():
            self.cfg.set(key.lower(), value)

    def load(self):
        return self.application

if __name__ == "__main__":
    options = {"bind": "%s:%s" % ("127.0.0.1", "0"), "workers": 2, "nonsense": 1}
    options.update(OPTIONS)
    StandaloneApplication(handler_app, options).run()
"""


def program(serve: Serve, *args: str, **options: object) -> Server:
    """Runs a Python program that is expected to be the server."""
    command = (sys.executable, "program.py", *args)
    return serve(None, command=command, bind=(), spec="", wait=False, **options)


def write(directory: Path, source: str, **options: object) -> None:
    (directory / "program.py").write_text(source.replace("OPTIONS", repr(options)))


def start(serve: Serve, directory: Path, source: str, *args: str, **options: object) -> Server:
    write(directory, source, **options)
    server = program(serve, *args)
    server.wait_listening()
    return server


def fail(directory: Path, source: str, *args: str, **options: object) -> str:
    """What a program that cannot run says; its exit code is 1."""
    write(directory, source, **options)
    done = subprocess.run(
        [sys.executable, "program.py", *args],
        cwd=directory,
        env=server_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1, done
    return done.stderr


def test_the_documented_custom_application(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    server = start(serve, tmp_path, STANDALONE, worker_class=worker_class)
    assert server.get().body == b"Works fine"
    assert len(server.wait_workers(2)) == 2
    assert server.stop() == 0


def test_exit_codes_are_the_servers(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace("return self.application", "return 1 / 0")
    write(tmp_path, source)
    server = program(serve)
    assert server.wait() == 3
    assert "ZeroDivisionError" in server.log
    assert "Reason: Worker failed to boot." in server.log


def test_hup_asks_load_config_again(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace(
        "        config = {",
        """
        import pathlib
        if pathlib.Path("more").exists():
            self.options["workers"] = 3
        config = {""",
    )
    server = start(serve, tmp_path, source)
    server.wait_workers(2)
    (tmp_path / "more").touch()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    server.wait_workers(3)
    assert server.get().body == b"Works fine"


def test_a_broken_load_config_leaves_the_old_workers(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace(
        "        config = {",
        """
        import pathlib
        if pathlib.Path("more").exists():
            raise KeyError("no more")
        config = {""",
    )
    server = start(serve, tmp_path, source)
    (tmp_path / "more").touch()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on")
    assert "no more" in server.log
    assert server.get().body == b"Works fine"


def test_usr2_starts_the_program_again(serve: Serve, tmp_path: Path) -> None:
    server = start(serve, tmp_path, STANDALONE, pidfile="pid")
    server.send_signal(signal.SIGUSR2)
    new = tmp_path / "pid.2"
    pid = int(str(poll(lambda: new.exists() and new.read_text().strip(), "a new master")))
    server.wait_log("Booting worker", count=4)
    assert server.get().body == b"Works fine"
    assert server.stop() == 0
    poll(lambda: (tmp_path / "pid").exists() and not new.exists(), "it takes over")
    assert server.get().body == b"Works fine"
    os.kill(pid, signal.SIGTERM)
    server.wait_log("Shutting down: Master", count=1)
    poll(lambda: not (tmp_path / "pid").exists(), "it has ended")


def test_cfg_reads_what_was_set_and_the_defaults(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace(
        "    def load(self):\n",
        "    def load(self):\n"
        "        print('cfg', self.cfg.workers, self.cfg.timeout, flush=True)\n",
    ).replace(
        "        for key",
        "        print('before', self.cfg.workers, self.cfg.timeout, flush=True)\n        for key",
    )
    server = start(serve, tmp_path, source, timeout=7)
    server.get()
    assert "before 1 30\n" in server.log
    assert "cfg 2 7\n" in server.log


def test_no_config_file_counts_but_variables_do(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("raise SystemExit(9)")
    write(tmp_path, STANDALONE)
    server = program(serve, env={"CGUNICORN_THREADS": "3", "CGUNICORN_WORKERS": "1"})
    server.wait_listening()
    assert "Using worker: gthread" in server.log
    server.wait_workers(2)


def test_a_value_that_is_not_valid_is_one_sentence(tmp_path: Path) -> None:
    said = fail(tmp_path, STANDALONE, workers="many")
    line = STANDALONE[: STANDALONE.index("self.cfg.set(")].count("\n") + 1
    place = f"{tmp_path}/program.py:{line}"
    assert said == (
        f"Error: Invalid value for workers: 'many' (from {place}): it must be an integer from 0 to"
        " 1000 or 'auto'.\n"
    )


@pytest.mark.parametrize(
    ("replace", "by", "words"),
    [
        ("key.lower()", "'wrokers'", "No configuration setting for: wrokers"),
        ("config = {key", "config = {1 / 0", "division by zero"),
    ],
)
def test_what_load_config_raises_is_one_sentence(
    tmp_path: Path, replace: str, by: str, words: str
) -> None:
    assert fail(tmp_path, STANDALONE.replace(replace, by)) == f"Error: {words}\n"


def test_an_application_that_is_none_is_told(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace("return self.application", "return None")
    write(tmp_path, source)
    server = program(serve)
    assert server.wait() == 4
    assert "Failed to find application object: 'StandaloneApplication'" in server.log


# With a command line


def test_application_has_a_command_line_and_a_config_file(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\nthreads = 3")
    source = """
from cgunicorn.app.base import Application

class Mine(Application):
    def init(self, parser, opts, args):
        assert (opts.threads, args) == (1, ["word"]), (opts, args)
        return {"workers": 9, "bind": "127.0.0.1:0"}
    def load(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"%d %d" % (self.cfg.workers, self.cfg.threads)]
        return app

Mine("%(prog)s [OPTIONS] [WORD]").run()
"""
    server = start(serve, tmp_path, source, "--threads", "1", "word")
    assert server.get().body == b"2 1"
    assert server.stop() == 0


def test_a_wsgi_application_with_options(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'a']\n"
    )
    source = """
from cgunicorn.app.wsgiapp import WSGIApplication

class StandaloneApplication(WSGIApplication):
    def __init__(self, app_uri, options=None):
        self.options = options or {}
        self.app_uri = app_uri
        super().__init__()
    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key.lower(), value)

StandaloneApplication("app:app", {"bind": "127.0.0.1:0", "workers": 2}).run()
"""
    server = start(serve, tmp_path, source, "--not-for-us")
    assert server.get().body == b"a"
    server.wait_workers(2)


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "cgunicorn"),
        ("-m", "cgunicorn.app.wsgiapp"),
        ("-c", "from cgunicorn.app.wsgiapp import run; run()"),
        ("-c", "from cgunicorn.app.wsgiapp import WSGIApplication; WSGIApplication().run()"),
    ],
)
def test_the_command_by_its_other_names(serve: Serve, command: tuple[str, ...]) -> None:
    app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'a']\n"
    server = serve(app, command=(sys.executable, *command))
    assert server.get().body == b"a"
    assert server.stop() == 0


@pytest.mark.parametrize("place", ["config", "app", "logger"])
def test_whoever_imports_gunicorn_is_told_what_there_is_instead(tmp_path: Path, place: str) -> None:
    """Here as if it were not installed."""
    source = "import sys; sys.modules['gunicorn'] = None\nfrom gunicorn.glogging import Logger\n"
    for name in ("config", "app", "logger"):
        (tmp_path / f"{name}.py").write_text(source if name == place else "app = Logger = print")
    args = ("--check-config", "-c", "config.py", "--logger-class", "logger.Logger", "app:app")
    done = run_command(tmp_path, *(a for a in args if place == "logger" or "ogger" not in a))
    assert done.returncode == 1
    told = "are in cgunicorn.app.base, cgunicorn.app.wsgiapp and cgunicorn.glogging"
    assert done.stderr.count(told) == 1, done.stderr


def test_a_program_may_read_a_config_file_itself(serve: Serve, tmp_path: Path) -> None:
    source = STANDALONE.replace("base.BaseApplication", "base.Application").replace(
        "        config = {",
        "        self.load_config_from_file('file.conf.py')\n        config = {",
    )
    (tmp_path / "file.conf.py").write_text("def on_starting(server): print('of the file')\n")
    server = start(serve, tmp_path, source)
    server.wait_log("of the file")
    assert server.stop() == 0
    (tmp_path / "file.conf.py").write_text("1 / 0")
    told = fail(tmp_path, source)
    assert 'File "file.conf.py", line 1' in told
    assert told.endswith(
        "ZeroDivisionError: division by zero\n\nError: Failed to read config file: file.conf.py\n"
    )
