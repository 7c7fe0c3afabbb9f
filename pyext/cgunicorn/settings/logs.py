# SPDX-License-Identifier: MIT
"""Rows: logs and metrics."""

from __future__ import annotations

import sys
from types import MappingProxyType

from cgunicorn.settings.checks import check_statsd, check_syslog
from cgunicorn.settings.kinds import BOOL, CLASS, DICT, STR
from cgunicorn.settings.row import LOGGING, Setting

#: By sys.platform; elsewhere syslog is asked for over the network.
_SYSLOG = {
    "darwin": "unix:///var/run/syslog",
    "freebsd": "unix:///var/run/log",
    "dragonfly": "unix:///var/run/log",
    "openbsd": "unix:///dev/log",
}

ROWS = (
    Setting(
        "accesslog",
        LOGGING,
        STR,
        None,
        "The file for the access log; - is standard output",
        "Not set, there is none.",
        flags=("--access-logfile",),
        meta="FILE",
        default_text="none",
    ),
    Setting(
        "disable_redirect_access_to_syslog",
        LOGGING,
        BOOL,
        False,
        "Keep the access log out of syslog",
        flags=("--disable-redirect-access-to-syslog",),
    ),
    Setting(
        "access_log_format",
        LOGGING,
        STR,
        '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
        "The format of a line of the access log",
        "h address, l -, u user, t time, r request line, m method, U path, q query, H protocol,"
        " s status, B bytes, b bytes or -, f referer, a user agent, T seconds, M milliseconds,"
        " D microseconds, L decimal seconds, p <pid>; {name}i a request field, {name}o a response"
        " field, {name}e a variable of the environ. The format `json` makes each line an object of"
        " JSON.",
        flags=("--access-logformat",),
    ),
    Setting(
        "errorlog",
        LOGGING,
        STR,
        "-",
        "The file for the error log; - is standard error",
        flags=("--error-logfile", "--log-file"),
        meta="FILE",
    ),
    Setting(
        "loglevel",
        LOGGING,
        STR,
        "info",
        "The least severe messages in the error log",
        "debug, info, warning, error or critical.",
        flags=("--log-level",),
        meta="LEVEL",
        choices=("debug", "info", "warning", "error", "critical"),
        unlike="An unknown level means info.",
    ),
    Setting(
        "capture_output",
        LOGGING,
        BOOL,
        False,
        "Send what the application prints to the error log",
        "Standard output and error go to errorlog, when it is a file.",
        flags=("--capture-output",),
    ),
    Setting(
        "logger_class",
        LOGGING,
        CLASS,
        "gunicorn.glogging.Logger",
        "The class that writes the logs",
        "Its dotted path, or the class. The default stands for the logger in C, and for every"
        " other one the logs go through Python.",
        flags=("--logger-class",),
    ),
    Setting(
        "logconfig",
        LOGGING,
        STR,
        None,
        "A file in the format of Python's logging.config.fileConfig",
        flags=("--log-config",),
        meta="FILE",
        default_text="none",
    ),
    Setting(
        "logconfig_dict",
        LOGGING,
        DICT,
        MappingProxyType({}),
        "A dict for Python's logging.config.dictConfig",
        "It is merged over the defaults, and beats logconfig and logconfig_json.",
    ),
    Setting(
        "logconfig_json",
        LOGGING,
        STR,
        None,
        "A JSON file for Python's logging.config.dictConfig",
        flags=("--log-config-json",),
        meta="FILE",
        default_text="none",
    ),
    Setting(
        "syslog",
        LOGGING,
        BOOL,
        False,
        "Send the logs to syslog",
        flags=("--log-syslog",),
    ),
    Setting(
        "syslog_addr",
        LOGGING,
        STR,
        _SYSLOG.get(sys.platform, "udp://localhost:514"),
        "Where syslog is",
        "unix://PATH, unix://PATH#dgram, unix://PATH#stream, udp://HOST:PORT or tcp://HOST:PORT.",
        flags=("--log-syslog-to",),
        meta="SYSLOG_ADDR",
        default_text="udp://localhost:514; on macOS and BSD a socket in /var/run or /dev",
        check=check_syslog,
    ),
    Setting(
        "syslog_prefix",
        LOGGING,
        STR,
        None,
        "What the program is called in syslog",
        "It becomes gunicorn.PREFIX.",
        flags=("--log-syslog-prefix",),
        default_text="proc_name",
    ),
    Setting(
        "syslog_facility",
        LOGGING,
        STR,
        "user",
        "The syslog facility",
        "What kind of program the lines come from, by which syslog sorts them.",
        flags=("--log-syslog-facility",),
        choices=(
            *(
                "auth",
                "authpriv",
                "cron",
                "daemon",
                "ftp",
                "kern",
                "lpr",
                "mail",
                "news",
                "security",
            ),
            *("syslog", "user", "uucp", *(f"local{n}" for n in range(8))),
        ),
    ),
    Setting(
        "statsd_host",
        LOGGING,
        STR,
        None,
        "Where to send metrics in the statsd format",
        "HOST, HOST:PORT or unix://PATH.",
        flags=("--statsd-host",),
        meta="STATSD_ADDR",
        default_text="nowhere",
        check=check_statsd,
    ),
    Setting(
        "dogstatsd_tags",
        LOGGING,
        STR,
        "",
        "Tags for each metric, separated by commas",
        flags=("--dogstatsd-tags",),
        meta="DOGSTATSD_TAGS",
    ),
    Setting(
        "statsd_prefix",
        LOGGING,
        STR,
        "",
        "What the names of metrics begin with",
        "A dot is added where it does not end with one.",
        flags=("--statsd-prefix",),
        meta="STATSD_PREFIX",
    ),
    Setting(
        "enable_backlog_metric",
        LOGGING,
        BOOL,
        False,
        "Send the number of connections that wait, as a metric",
        "The histogram gunicorn.backlog, about once a second, when there is a statsd_host. Linux"
        " tells the number, for TCP sockets.",
        flags=("--enable-backlog-metric",),
    ),
)
