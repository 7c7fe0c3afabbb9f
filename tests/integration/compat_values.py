# SPDX-License-Identifier: MIT
"""Which values a setting takes, at the edges of what it can have and beyond."""

from __future__ import annotations

import json
import sys

from compat import Findings, Scenario, Subject

#: Values at and beyond the edges of what settings take.
VALUES = {
    "workers": (0, -1, 1000, 1001, "3", "0x10", " 2 ", "", "auto", 1.5, True, None),
    "threads": (0, -1, 1, 4096, 100000, "", "2"),
    "backlog": (0, 1, -1, 2**31, "64"),
    "worker_connections": (0, 1, 2**31, "1000"),
    "max_requests": (0, -1, 2**31, 2**63, "5"),
    "max_requests_jitter": (0, -1, 2**63),
    "timeout": (0, -1, 2**31, 2**63, "30", "30s", 0.5, 2.0),
    "graceful_timeout": (0, -1, 2**31, 0.5),
    "keepalive": (0, -1, 2**31, 0.5),
    "limit_request_line": (0, -1, 1, 8190, 8191, 2**31),
    "limit_request_fields": (0, -1, 1, 32768, 32769),
    "limit_request_field_size": (0, -1, 1, 2**31),
    "umask": (0, -1, 0o777, 0o1000, "022", "0o22", "18", "x", ""),
    "bind": (
        "",
        [],
        ["a:1", ""],
        ":1",
        "a",
        "a:99999",
        "a:x",
        "unix:",
        "fd://x",
        "[::1]:1",
        5,
        [5],
    ),
    "user": ("", 0, "0", -1, "nobody", "nobody-of-that-name", 1.5),
    "group": ("", 0, "0", -1, "no-group-of-that-name"),
    "worker_class": ("sync", "gthread", "", "nope", "gunicorn.workers.sync.SyncWorker", 5),
    "loglevel": ("info", "INFO", "Warning", "loud", "", 5),
    "accesslog": ("-", "", "file", 5, None),
    "errorlog": ("-", "file", 5),
    "access_log_format": ("%(h)s", "", "%(nope)s", "%", 5),
    "proc_name": ("a", "", " a ", 5, "a\0b"),
    "pidfile": ("a", "", 5, None),
    "chdir": ("", ".", "nowhere", 5),
    "raw_env": ([], ["A=b"], ["A"], "A=b", ["=b"], ["A="], [5], {}),
    "forwarded_allow_ips": ("", "*", "127.0.0.1", "127.0.0.0/8", "nope", ["::1"], "127.0.0.1,", 5),
    "proxy_allow_ips": ("", "*", "10.0.0.0/33", "::1/128"),
    "secure_scheme_headers": ({}, {"A": "b"}, {"a b": "c"}, {"A": 1}, [], "a"),
    "preload_app": (True, "true", "True", "yes", 1, "", None),
    "reuse_port": (True, "false", "off", 0),
    "sendfile": (True, False, None, "true", "maybe"),
    "reload_engine": ("auto", "poll", "inotify", "nope", ""),
    "header_map": ("drop", "refuse", "dangerous", "DROP", "nope"),
    "proxy_protocol": ("off", "v1", "v2", "auto", True, False, "nope", ""),
    "statsd_host": ("a:1", "a", "", "unix://s", "a:x", 5, None),
    "syslog_addr": ("udp://a:1", "unix:///s", "a", "", "tcp://a:x"),
    "syslog_facility": ("user", "LOCAL0", "nope", ""),
    "logconfig_dict": ({}, {"version": 1}, [], "a"),
    "logger_class": ("a.b", "", 5, object),
    "post_fork": ("os.getpid", print, len, None, "", "nope.nope", 5),
    "on_starting": (len, print, 5),
    "paste": (None, "", 5),
    "dogstatsd_tags": ("", "a:b", 5),
    "worker_tmp_dir": ("", ".", "nowhere", None),
    "cert_reqs": (0, 1, 2, 3, "x"),
    "certfile": (None, "nowhere.pem", ""),
    "nope": (1,),
}

#: Sets one after the other, and tells what stands there then.
PROGRAM = """
import json, os
from SERVER.app.base import BaseApplication

def shown(value):
    if callable(value):
        return "callable"
    return repr(list(value) if isinstance(value, tuple) else value)

class Program(BaseApplication):
    def load_config(self):
        for name, values in VALUES.items():
            for value in values:
                try:
                    self.cfg.set(name, value)
                    told = shown(self.cfg.settings[name].get())
                except Exception:
                    told = "refused"
                print(json.dumps([name, f"{value!r:.40} -> {told}"]))

Program()
"""


def values(subject: Subject) -> Findings:
    source = f"VALUES = {VALUES!r}\n{PROGRAM}".replace("<class 'object'>", "object")
    source = source.replace("<built-in function print>", "print")
    source = source.replace("<built-in function len>", "len").replace("SERVER", subject.name)
    (subject.folder / "program.py").write_text(source)
    found: dict[str, list[str]] = {name: [] for name in VALUES}
    for line in subject.run_to_end(sys.executable, "program.py")[:-1]:
        name, told = json.loads(line)
        found[name].append(told)
    return found


SCENARIOS: dict[str, Scenario] = {"values": values}
