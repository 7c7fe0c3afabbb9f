# SPDX-License-Identifier: MIT
"""uWSGI's options, one row each: what becomes of them here. The reading of ini files, uWSGI's
command lines, --check-config and docs/from-uwsgi.md come from these rows.

To add an option, add a row; then `./dev docs`.
"""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from cgunicorn import hints

_FALSE = ("false", "off", "no", "0")


class Effect(enum.Enum):
    """The headings of the documentation."""

    SETS = "Options that set something"
    NEEDLESS = "Options that need nothing"
    ABSENT = "Options without effect"
    REFUSED = "Options that are refused"


class Arity(enum.Enum):
    """Whether a value follows on the command line. An optional one stands behind `=`."""

    FLAG = 0
    OPTIONAL = 1
    VALUE = 2


class Option(NamedTuple):
    """
    names      the first is the one that the documentation shows; in an option without a setting,
               one may be a pattern with *
    effect     what becomes of it
    note       a half-sentence: what needs to be known, why nothing is needed, or what to use
               instead
    settings   what it sets
    value      from uWSGI's text to a value for the settings; ValueError with a sentence
    also       what it sets beside, whatever its value
    part       not empty: what it says is only a part of a setting, kept under this name
    many       each occurrence adds to the ones before
    short      its short flag
    arity      on the command line
    misspelt   names that uWSGI ignores and that are taken for this one, with a warning
    """

    names: tuple[str, ...]
    effect: Effect
    note: str = ""
    settings: tuple[str, ...] = ()
    value: Callable[[str], object] = str
    also: Mapping[str, object] = MappingProxyType({})
    part: str = ""
    many: bool = False
    short: str = ""
    arity: Arity = Arity.VALUE
    misspelt: tuple[str, ...] = ()


# Values


def is_true(text: str) -> bool:
    """A switch; one without a value is on."""
    return text.lower() not in _FALSE


def _bind(protocol: str) -> Callable[[str], object]:
    """The maker of bind strings for sockets that speak this protocol."""

    def convert(address: str) -> object:
        if address.isdigit():
            raise ValueError(f"it is no address, did you mean ':{address}'?")
        if address.startswith("="):
            raise ValueError("there are no shared sockets, name the address itself.")
        if address.startswith("fd://"):
            return f"{protocol}:{address}"
        if ":" in address and address[0] not in "/@":
            return f"{protocol}://{address[1:] if address.startswith('*:') else address}"
        return f"{protocol}:unix:{address}"

    return convert


def _umask_of_mode(text: str) -> object:
    text = text or "666"
    if len(text) != 3 or not all(digit in "01234567" for digit in text):
        raise ValueError("it must be three octal digits, such as 660.")
    return 0o777 & ~int(text, 8)


def _octal(text: str) -> object:
    try:
        return int(text, 8)
    except ValueError:
        raise ValueError("it must be an octal number.") from None


def _log_target(text: str) -> object:
    if text == "stdio":
        return "-"
    kind, colon, path = text.partition(":")
    if kind != "file" or not colon:
        raise ValueError("it must be file:PATH or stdio; see the settings syslog and logconfig.")
    return path


def _plugins(text: str) -> object:
    for name in text.replace(",", " ").split():
        if not name.startswith(("python", "http")):
            raise ValueError(f"there are no plugins, and so there is no {name!r}.")
    return text


def _is_not_zero(text: str) -> object:
    return is_true(text)


def _seconds_or_default(text: str) -> object:
    return text if text.isdigit() and int(text) > 1 else 60


# Rows


def _sets(names: str, *settings: str, **more: object) -> Option:
    return Option(tuple(names.split()), Effect.SETS, settings=settings, **more)  # type: ignore[arg-type]


def _needless(names: str, note: str, arity: Arity = Arity.FLAG, **more: object) -> Option:
    return Option(tuple(names.split()), Effect.NEEDLESS, note, arity=arity, **more)  # type: ignore[arg-type]


def _absent(names: str, note: str, arity: Arity = Arity.VALUE, **more: object) -> Option:
    return Option(tuple(names.split()), Effect.ABSENT, note, arity=arity, **more)  # type: ignore[arg-type]


def _refused(names: str, note: str) -> Option:
    return Option(tuple(names.split()), Effect.REFUSED, note)


_SETS = (
    _sets(
        "module wsgi",
        "wsgi_app",
        part="module",
        short="-w",
        note="`package.module`, with `:name` or `:factory()`, which beats `callable`",
    ),
    _sets(
        "wsgi-file file",
        "wsgi_app",
        part="file",
        note="the file is run as a module `uwsgi_file_...`; relative to `chdir`",
    ),
    _sets("callable", "wsgi_app", part="callable", note="`application` if it is not given"),
    _sets("chdir", "chdir", note="it is put into `sys.path` too"),
    _sets(
        "virtualenv venv home pyhome",
        part="virtualenv",
        short="-H",
        note="see below; relative to `chdir`. A reload does not change it",
    ),
    _sets("pythonpath python-path pp", "pythonpath", many=True),
    _sets("env", "raw_env", many=True),
    _sets(
        "socket uwsgi-socket",
        "bind",
        part="socket",
        many=True,
        short="-s",
        value=_bind("uwsgi"),
        note="speaks the uwsgi protocol, unless `protocol` is http; `uwsgi_allow_ips` holds",
    ),
    _sets(
        "http-socket http",
        "bind",
        part="socket",
        many=True,
        value=_bind("http"),
        note="the workers speak HTTP, there is no router in front of them",
    ),
    _sets("protocol socket-protocol", part="protocol", note="of `socket`: uwsgi or http"),
    _sets(
        "chmod-socket chmod",
        "umask",
        value=_umask_of_mode,
        short="-C",
        arity=Arity.OPTIONAL,
        note="the socket gets exactly this mode, 666 without a value. Not given, all may connect",
    ),
    _sets(
        "umask",
        "umask",
        value=_octal,
        part="umask",
        note="for sockets alone; chmod-socket beats it",
    ),
    _sets("listen", "backlog", short="-l", note="not given, it is 2048"),
    _sets("reuse-port", "reuse_port", value=is_true, arity=Arity.FLAG),
    _sets(
        "processes workers",
        "workers",
        short="-p",
        misspelt=("process", "worker"),
        note="a group for idle ones (`cheaper`) there is not",
    ),
    _sets(
        "threads",
        "threads",
        misspelt=("thread",),
        note="with more than one, the worker class is `gthread`",
    ),
    _sets(
        "harakiri",
        "timeout",
        short="-t",
        note="of each request, also in threads. Not given, requests may take any time, as in uWSGI",
    ),
    _sets("worker-reload-mercy reload-mercy", "graceful_timeout"),
    _sets("max-requests", "max_requests", short="-R"),
    _sets("max-requests-delta", "max_requests_jitter"),
    _sets("max-worker-lifetime", "max_worker_lifetime"),
    _sets("max-worker-lifetime-delta", "max_worker_lifetime_jitter"),
    _sets("reload-on-rss evil-reload-on-rss", "reload_on_rss", note="in MiB"),
    _sets(
        "socket-timeout",
        "client_body_timeout",
        "send_timeout",
        short="-z",
        note="not given, both are 30 seconds, not 4",
    ),
    _sets("so-send-timeout socket-send-timeout", "send_timeout"),
    _sets(
        "http-timeout http-headers-timeout",
        "client_header_timeout",
        note="the time for the application is `harakiri`",
    ),
    _sets(
        "http-keepalive",
        "keepalive",
        value=_seconds_or_default,
        arity=Arity.OPTIONAL,
        note="60 seconds without a value",
    ),
    _sets("post-buffering", "client_body_buffer_size", note="larger bodies go to a file"),
    _sets("limit-post", "limit_request_body", note="not given, it is 1 GiB"),
    _sets("uid", "user", note="of the workers; the master keeps its own"),
    _sets("gid", "group", note="of the workers"),
    _sets("pidfile pidfile2 safe-pidfile safe-pidfile2", "pidfile"),
    _sets(
        "daemonize daemonize2",
        "errorlog",
        "accesslog",
        also={"daemon": True},
        short="-d",
    ),
    _sets("logto logto2", "errorlog", "accesslog"),
    _sets("logger", "errorlog", value=_log_target, note="`file:PATH` or `stdio`"),
    _sets("req-logger", "accesslog", value=_log_target, note="`file:PATH` or `stdio`"),
    _sets(
        "disable-logging",
        "accesslog",
        part="disable-logging",
        short="-L",
        arity=Arity.FLAG,
        note="without it each request is logged, in Gunicorn's format",
    ),
    _sets("procname procname-master procname-prefix", "proc_name"),
    _sets(
        "py-autoreload py-auto-reload python-autoreload",
        "reload",
        value=_is_not_zero,
        note="changes are seen at once, not every so many seconds",
    ),
    _sets(
        "strict",
        part="strict",
        arity=Arity.FLAG,
        note="a key that is no option is then an error",
    ),
)

_NEEDLESS = (
    _needless("master", "there always is one", short="-M"),
    _needless("die-on-term", "TERM always stops the server, and lets requests be finished"),
    _needless("vacuum", "socket files and the pidfile are always removed at the end"),
    _needless("no-orphans", "workers end when they find their master gone"),
    _needless("need-app", "the server ends when the application can't be loaded"),
    _needless(
        "lazy-apps lazy",
        "each worker loads the application itself; uWSGI's default, loading it before the fork, is"
        " the setting preload_app",
    ),
    _needless("enable-threads", "threads of the application always run", short="-T"),
    _needless("single-interpreter", "there is one interpreter in each worker"),
    _needless("thunder-lock", "the kernel wakes one worker for each client"),
    _needless(
        "ignore-sigpipe ignore-write-errors disable-write-exception write-errors-exception-only",
        "a client that leaves is no error: nothing is raised, the access log has a line with 499",
    ),
    _needless("write-errors-tolerance", "a client that leaves is no error", Arity.VALUE),
    _needless("close-on-exec close-on-exec2", "descriptors are never passed on to programs"),
    _needless("buffer-size", "packets of 64 KiB, the largest there are, are taken", Arity.VALUE),
    _needless("max-vars", "1000 variables are taken", Arity.VALUE),
    _needless("post-buffering-bufsize", "there is no such buffer", Arity.VALUE),
    _needless("offload-threads", "slow clients and files never hold a worker up", Arity.VALUE),
    _needless("harakiri-verbose", "the log names the request and shows the Python stack"),
    _needless(
        "plugin plugins need-plugin", "Python and HTTP are built in", Arity.VALUE, value=_plugins
    ),
    _needless("auto-procname", "processes have names"),
    _needless("log-master log-reopen threaded-logger", "USR1 opens the log files anew"),
    _needless(
        "log-date logdate log-zero log-micros log-big",
        "log lines have what they need",
        Arity.OPTIONAL,
    ),
    _needless(
        "log-4xx log-5xx log-slow", "all requests are logged, with status and time", Arity.OPTIONAL
    ),
    _needless("memory-report", "it is for the request log of uWSGI", Arity.OPTIONAL),
    _needless(
        "http-auto-chunked http-chunked-input http-raw-body http-manage-expect"
        " wsgi-manage-chunked-input pep3333-input",
        "HTTP is spoken in full",
    ),
    _needless("http-processes http-workers", "there is no router", Arity.VALUE),
    _needless("http-connect-timeout http-buffer-size", "there is no router", Arity.VALUE),
    _needless("py-call-osafterfork py-call-uwsgi-fork-hooks", "Python is told of each fork"),
    _needless("tcp-nodelay", "it is always set"),
    _needless("no-defer-accept", "clients are not awaited in the kernel"),
    _needless("autoload no-default-app no-initial-output", "it is for uWSGI alone"),
    _needless("set-placeholder set-ph set", "it may be used as %(name)", Arity.VALUE, short="-S"),
)

_IN_NGINX = "let nginx do it"
_IN_SYSTEMD = "set the limit where the server is started, as in a systemd unit"

_ABSENT = (
    _absent(
        "chown-socket",
        "the socket belongs to `uid` and `gid`; chmod-socket = 660 lets a group in",
    ),
    _absent("touch-reload touch-workers-reload touch-chain-reload", "send HUP to the master"),
    _absent("touch-* fs-reload", "signals do what touched files do: HUP, USR1, TERM"),
    _absent("static-map static-map2 check-static check-static-docroot static-*", _IN_NGINX),
    _absent("add-header route route-* rewrite* final-route*", _IN_NGINX),
    _absent("stats stats-server stats-*", "the access log and the setting statsd_host tell"),
    _absent("carbon carbon-* metric* enable-metrics", "the setting statsd_host sends metrics"),
    _absent("log-format log-format-strftime", "the format is the setting access_log_format"),
    _absent("log-x-forwarded-for", "a format with %({x-forwarded-for}i)s does it", Arity.FLAG),
    _absent("log-maxsize log-backupname log-truncate logfile-c*", "let logrotate do it, with USR1"),
    _absent("log-*", "see the settings under Logging"),
    _absent("cheaper cheaper-* idle", "the number of workers is fixed; TTIN and TTOU change it"),
    _absent(
        "cheap die-on-idle", "the number of workers is fixed; TTIN and TTOU change it", Arity.FLAG
    ),
    _absent(
        "gevent gevent-* asyncio async ugreen greenlet loop",
        "use `threads`; idle and slow clients need none",
    ),
    _absent(
        "mount manage-script-name",
        "name one application with `module`; nginx sends SCRIPT_NAME",
        Arity.OPTIONAL,
    ),
    _absent("chdir2", "use `chdir`"),
    _absent("import shared-import pyimport shared-pyimport", "let the application import it"),
    _absent("hook-* exec-* on-*", "the server hooks of a configuration file do it"),
    _absent("attach-daemon* smart-attach-daemon* attach-*", "let systemd or supervisord run it"),
    _absent(
        "cron* mule* farm* spooler* cache* queue* sharedarea* lock* rpc* timer*",
        "run a service of its own for it, such as Celery or Redis",
    ),
    _absent(
        "emperor* vassal* zerg* legion* subscri* fastrouter*", "run a server for each application"
    ),
    _absent("max-fd limit-as limit-nproc prio cpu-affinity", _IN_SYSTEMD),
    _absent("so-keepalive so-sndbuf so-rcvbuf", "the system's values are used"),
    _absent("harakiri-*", "harakiri itself is known"),
    _absent("min-worker-lifetime exit-on-reload", "workers are replaced whenever that is due"),
    _absent("reload-on-as evil-reload-on-as", "use reload-on-rss"),
    _absent("paste paste-*", "give the file to --paste, without config: in front of it"),
    _absent("pyargv optimize", "set it where Python is started (PYTHONOPTIMIZE)"),
    _absent("catch-exceptions py-tracebacker", "exceptions are in the error log", Arity.OPTIONAL),
    _absent("honour-stdin", "run the application by itself to debug it", Arity.FLAG),
    _absent("snmp* udp alarm* http-* py-*", "there is nothing of the kind"),
)

_REFUSED = (
    _refused(
        "https https-socket https2 ssl-socket suwsgi-socket http-to-https",
        "this version does not speak TLS; let nginx end TLS in front of it",
    ),
    _refused(
        "fastcgi-socket scgi-socket raw-socket puwsgi-socket map-socket shared-socket http-to",
        "sockets speak HTTP or the uwsgi protocol",
    ),
    _refused("chroot pivot-root unshare cap", "let systemd or a container confine the server"),
    _refused(
        "if-* for for-* endif end-if endfor end-for else end",
        "there is no logic in ini files here; use two files or $(VARIABLE)",
    ),
    _refused("inherit config xml yaml yml json", "only ini files are read"),
    _refused("stop pause", "send a signal to the pid in the pidfile: TERM stops, HUP reloads"),
)

OPTIONS = (*_SETS, *_NEEDLESS, *_ABSENT, *_REFUSED)

#: Name -> row, for the names that are no patterns.
BY_NAME = {name: row for row in OPTIONS for name in row.names if "*" not in name}

_MISSPELT = {name: row for row in OPTIONS for name in row.misspelt}
_PATTERNS = [(name, row) for row in OPTIONS for name in row.names if "*" in name]


def find(key: str) -> Option | None:
    """The row of a key; None for one that is no option of uWSGI."""
    if key in BY_NAME:
        return BY_NAME[key]
    if key in _MISSPELT:
        return _MISSPELT[key]
    return next((row for name, row in _PATTERNS if fnmatch.fnmatchcase(key, name)), None)


def similar(key: str) -> str:
    """The option that an unknown key may be meant for; empty where there is none."""
    return hints.similar(key.lower().replace("_", "-"), BY_NAME, hints.LIKELY)
