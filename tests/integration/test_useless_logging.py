# SPDX-License-Identifier: MIT
"""Logging settings that can't be used: one sentence at the start, and no change at a reload."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll, run_command
from test_logging import APP, DICT, FORMS, lines_of

Serve = Callable[..., Server]

#: Settings of a config file that can't be used, and what is said of them.
USELESS = {
    "class-missing": ("logger_class = 'nowhere.Mine'", "it can't be found: No module named "),
    "class-not-in-module": ("logger_class = 'app.Mine'", "it can't be found: no Mine in app."),
    "class-is-none": ("logger_class = 'app.__name__'", "it is no class."),
    "class-raises": (
        "logger_class = 'app.Raises'",
        "it can't be used: RuntimeError: no such luck.",
    ),
    "ini-missing": ("logconfig = 'none.ini'", "log config 'none.ini' not found."),
    "ini-is-none": ("logconfig = 'app.py'", "it can't be used: "),
    "ini-incomplete": ("logconfig = 'bad.ini'", "it can't be used: 'formatters' is missing."),
    "json-missing": ("logconfig_json = 'none.json'", "it can't be read: No such file"),
    "json-is-none": ("logconfig_json = 'app.py'", "it is not JSON: "),
    "json-wrong": ("logconfig_json = 'bad.json'", "it can't be used: "),
    "dict-wrong": (
        "logconfig_dict = {'handlers': {'console': {'class': 'no.Such'}}}",
        "it can't be used: Unable to configure handler 'console': ",
    ),
    "dict-file": (
        "logconfig_dict = {'handlers': {'console': {'class': 'logging.FileHandler',"
        " 'filename': 'no/where'}}}",
        "it can't be used: Unable to configure handler 'console': ",
    ),
    "dict-is-none": ("logconfig_dict = 'x'", "it must be a dict."),
    "syslog-refuses": (
        "syslog_addr = 'tcp://127.0.0.1:1'; syslog = True",
        "can't log there: Connection refused.",
    ),
    "syslog-unknown-host": (
        "syslog_addr = 'udp://no-such-host.invalid:514'; syslog = True",
        "can't log there: ",
    ),
    "syslog-no-file": (
        "syslog_addr = 'unix:///nowhere'; syslog = True",
        "can't log there: nobody listens there.",
    ),
    "syslog-port": ("syslog_addr = 'udp://h:0'", "it has no valid port number: '0'."),
    "syslog-word": ("syslog_addr = 'unix:///x#y'", "it ends neither in #dgram nor in #stream."),
    "syslog-form": ("syslog_addr = 'here'", "it must be unix://PATH, udp://HOST:PORT or tcp://"),
    "syslog-facility": ("syslog_facility = 'mine'", "it must be one of auth, "),
    "statsd-port": ("statsd_host = 'here:x'", "Value must be one of ('host:port', 'unix://PATH')."),
}
useless = pytest.mark.parametrize(("line", "why"), USELESS.values(), ids=USELESS)


def write_useless_files(folder: Path) -> None:
    (folder / "bad.json").write_text('{"handlers": {"console": {"class": "no.Such"}}}')
    (folder / "bad.ini").write_text("[loggers]\nkeys = root\n[logger_root]\nhandlers =\n")


def useless_sentence(line: str, why: str) -> str:
    """A pattern: which setting, which value, where it is from, and why it is refused."""
    name, _, value = line.partition(";")[0].partition(" = ")
    shown = r"\{.*?\}" if value.startswith("{") else re.escape(value)
    return rf"Invalid value for {name}: {shown} \(from gunicorn\.conf\.py:2\): {re.escape(why)}.*"


RAISES = (
    APP
    + "class Raises:\n    def __init__(self, cfg):\n        raise RuntimeError('no such luck')\n"
)


@useless
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, line: str, why: str) -> None:
    write_useless_files(tmp_path)
    (tmp_path / "app.py").write_text(RAISES)
    (tmp_path / "gunicorn.conf.py").write_text(f"\n{line}\n")
    done = run_command(tmp_path, "-b", "127.0.0.1:0", "app:app")
    assert done.returncode == 1
    assert re.fullmatch(rf"Error: {useless_sentence(line, why)}\n", done.stderr), done.stderr


@useless
def test_what_cannot_be_used_at_a_reload_changes_nothing(
    serve: Serve, tmp_path: Path, line: str, why: str
) -> None:
    """Nor are handlers closed, which Python's logging does before it looks at a new configuration,
    and which not each handler stands."""
    write_useless_files(tmp_path)
    config = tmp_path / "gunicorn.conf.py"
    good = DICT.replace("logging.FileHandler", "forms.Brittle")
    config.write_text(good)
    (tmp_path / "forms.py").write_text(FORMS + BRITTLE)
    server = serve(RAISES, wait=False)
    log = tmp_path / "py-error"
    server.wait_listening_in(log)
    worker = server.wait_workers(1)
    config.write_text(f"\n{line}\n")
    server.send_signal(signal.SIGHUP)
    poll(lambda: "Reload failed" in log.read_text(), f"the reload has failed: {server.log}")
    told = f"mine ERROR {useless_sentence(line, why)}"
    assert len([x for x in log.read_text().splitlines() if re.fullmatch(told, x)]) == 1
    assert server.workers() == worker
    server.get("/after")
    assert "/after" in lines_of(server, "py-access", 1)[0]
    config.write_text(good)
    server.send_signal(signal.SIGHUP)
    poll(lambda: "Reloaded" in log.read_text(), "the next one works")
    assert server.stop() == 0
    assert server.log == ""


BRITTLE = """
class Brittle(logging.FileHandler):
    over = False
    def close(self):
        super().close()
        self.over = True
    def emit(self, record):
        if not self.over:
            super().emit(record)
"""
