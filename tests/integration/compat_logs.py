# SPDX-License-Identifier: MIT
"""Scenarios about what Python code sees of the two logs: records in handlers and filters, and the
calls that a logger class gets."""

from __future__ import annotations

import re

from compat import Findings, Scenario, Subject
from compat_objects import LOOK, seen
from compat_wire import log_lines
from harness import Server, poll

#: What an application does to what is logged about it: the path is the name of the function.
LOGGED_APP = """
import sys

def plain(environ, start):
    start("200 OK", [("Content-Length", "2"), ("X-Out", "1")])
    return [b"hi"]

def behind_proxy(environ, start):
    environ["REMOTE_ADDR"] = "10.1.2.3"
    environ["x.mine"] = "set"
    environ["X_NUMBER"] = 7
    return plain(environ, start)

def no_address(environ, start):
    environ.pop("REMOTE_ADDR")
    return plain(environ, start)

def other_path(environ, start):
    environ["PATH_INFO"], environ["SCRIPT_NAME"] = "/rest", "/other_path"
    environ["QUERY_STRING"] = "mine=1"
    environ["REQUEST_METHOD"] = "OTHER"
    return plain(environ, start)

def other_agent(environ, start):
    environ["HTTP_USER_AGENT"] = "me"
    environ["HTTP_REFERER"] = "there"
    environ["RAW_URI"] = "/mine"
    environ["SERVER_PROTOCOL"] = "MINE/1"
    return plain(environ, start)

def user(environ, start):
    environ["HTTP_AUTHORIZATION"] = "Basic bWU6cA=="
    return plain(environ, start)

def parts(environ, start):
    start("201 Created", [["X-List", "pair"], ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return iter([b"a", b"bc"])

def app(environ, start_response):
    return globals()[environ["PATH_INFO"][1:]](environ, start_response)
"""
PATHS = re.findall(r"(?m)^def (\w+)\(environ, start\)", LOGGED_APP)
FORMAT = "|".join(
    f"{atom}=%({atom})s"
    for atom in (
        *("h", "u", "r", "m", "U", "q", "H", "s", "B", "b", "f", "a", "{X-Out}o", "{x-list}o"),
        *("{set-cookie}o", "{X-In}i", "{x.mine}e", "{X_NUMBER}e", "{REMOTE_ADDR}e"),
        *("{wsgi.url_scheme}e", "{SERVER_NAME}e", "{PATH_INFO}e", "{wsgi.multithread}e"),
    )
)


def ask(server: Server, sign: str) -> None:
    """Asks for every path, one after the other, each when the one before is logged."""
    for n, path in enumerate(PATHS):
        server.get(f"/{path}?a=b", "X-In: 0", "x-in: 1", "User-Agent: test")
        server.wait_log(sign, count=n + 1)


def lines(*args: str) -> Scenario:
    """The access log of an application that changes its environ."""

    def scenario(subject: Subject) -> Findings:
        logged = ("--access-logfile", "-", "--access-logformat", f"<{FORMAT}>")
        server = subject.serve(LOGGED_APP, *logged, *args)
        ask(server, ">")
        told = zip(PATHS, re.findall("<(.*)>", server.log))
        return {path: subject.plain(line.replace("|", "\n")) for path, line in told}

    return scenario


#: A handler, a filter and a formatter of the user's on both loggers.
RECORDS = f"""
{LOOK}
import logging, re

ATOMS = {{"h", "r", "s", "{{x.mine}}e", "{{x-out}}o", "{{x-in}}i", "{{wsgi.url_scheme}}e"}}
accesslog, errorlog, loglevel = "-", "-", "info"
access_log_format = {FORMAT!r}

class Keep(logging.Handler):
    def emit(self, record):
        if record.name == "gunicorn.error":
            look("record " + re.sub("[0-9]+", "N", record.getMessage()), "r.levelname", r=record)
        else:
            path = record.args["{{X-In}}i"]
            atoms = {{k: v for k, v in dict.items(record.args) if k in ATOMS}}
            look(f"atoms of {{path}}", "r.name; r.levelname; r.msg == access_log_format; atoms;"
                 "args['{{X.MINE}}e']; args['nope']; args['{{NOPE}}i'];"
                 "isinstance(args, dict); getattr(args, 'get')('nope'); 'nope' in args;"
                 "'%(h)s %(s)s %({{X-Out}}o)s' % args;"
                 "sorted(k for k in dict(args) if k[0] != '{{');"
                 "[type(dict(args)[k]).__name__ for k in 'hlutrsmUqHbBfaTDMLp']",
                 r=record, atoms=atoms, args=record.args)

class NoPlain(logging.Filter):
    def filter(self, record):
        return "/plain" not in record.getMessage()

def when_ready(server):
    logging.getLogger("gunicorn.error").addHandler(Keep())

def post_worker_init(worker):
    logging.getLogger("gunicorn.access").addHandler(Keep())
    for handler in logging.getLogger("gunicorn.access").handlers[:1]:
        handler.addFilter(NoPlain())
        handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    worker.log.info("said %s by %d", "this", 1)
    worker.log.error("%(a)s", {{"a": 1}})
"""


def records(subject: Subject) -> Findings:
    (subject.folder / "keeping.py").write_text(RECORDS)
    server = subject.serve(LOGGED_APP, "-c", "keeping.py")
    for path in PATHS:
        server.get(f"/{path}?a=b", f"X-In: {path}", "User-Agent: test")
        poll(lambda path=path: f"atoms of {path}" in seen(subject), f"the record of {path}")
    server.stop()
    told = re.findall("gunicorn.access INFO .*", server.log)
    return {**seen(subject), "lines": subject.plain("\n".join(told).replace("|", "\n"))}


#: A logger class with a method for everything that is called, and what it finds.
LOGGER_CLASS = f"""
{LOOK}
import logging
from datetime import timedelta
from SERVER.glogging import CONFIG_DEFAULTS, Logger, SafeAtoms

class Wrapped(SafeAtoms):
    def __init__(self, atoms):
        look("wrapper", "type(atoms).__name__; [k for k in atoms if k[0] != '{{']", atoms=atoms)
        super().__init__({{**atoms, "wrapped": 'a"b'}})

class Mine(Logger):
    atoms_wrapper_class = Wrapped

    def __init__(self, cfg):
        super().__init__(cfg)
        look("logger", LOGGER, log=self, cfg=cfg)

    def setup(self, cfg):
        super().setup(cfg)
        for log in self.error_log, self.access_log:
            log.handlers[0].setFormatter(logging.Formatter("%(name)s|%(levelname)s|%(message)s"))
        look("setup", "len(log.access_log.handlers); cfg.loglevel; log.cfg is cfg; log.logfile;"
             "log.error_handlers; log.access_handlers", log=self, cfg=cfg)

    def now(self):
        return "[then]"

    def atoms(self, resp, req, environ, request_time):
        return {{**super().atoms(resp, req, environ, request_time), "mine": environ.get("x.mine")}}

    def access(self, resp, req, environ, request_time):
        in_all = dict(req.headers)["X-IN"]
        look("access " + in_all, ACCESS, log=self, resp=resp, req=req, environ=environ,
             request_time=request_time)
        super().access(resp, req, environ, request_time)

LOGGER = '''
sorted({{n for n in dir(log) if n[0] != "_"}} - {{"log_access"}});
log.loglevel; log.error_fmt; log.datefmt; log.access_fmt; log.syslog_fmt; log.LOG_LEVELS;
log.error_log.name; log.access_log.name; log.error_log.level; log.access_log.level;
log.error_log.propagate; log.access_log.propagate; log.access_log_enabled; log.now();
log._get_gunicorn_handler(log.error_log) is log.error_log.handlers[0]; log.reopen_files();
log._get_user({{}}); log._get_user({{"HTTP_AUTHORIZATION": "Basic bWU6cA=="}}); log.close_on_exec();
log.critical("c %s", 1); log.error("e %s", 1); log.warning("w %s", 1); log.info("i %s", 1);
log.debug("d %s", 1); log.log("warning", "l %s", 1); log.log(20, "n %s", 1); log.warn("x");
log.exception("x %s", 1); log.setLevel; log.name; log.lock.acquire(False); log.lock.release();
SafeAtoms({{"a": '"'}})["a"]; SafeAtoms({{"{{b}}i": 1}})["{{B}}i"]; SafeAtoms({{}})["c"];
sorted(CONFIG_DEFAULTS); CONFIG_DEFAULTS["version"]; CONFIG_DEFAULTS["root"];
CONFIG_DEFAULTS["loggers"]; CONFIG_DEFAULTS["handlers"]; CONFIG_DEFAULTS["formatters"]
'''
ACCESS = '''
resp.status; resp.status_code; resp.headers; resp.sent; resp.response_length; resp.headers_sent;
resp.chunked; req.method; req.uri; req.path; req.query; req.version; req.remote_addr[0];
type(req.headers).__name__; type(req.headers[0]).__name__; type(environ).__name__;
environ["REMOTE_ADDR"]; environ.get("x.mine"); environ["wsgi.url_scheme"];
type(request_time).__name__; request_time >= timedelta(0);
log.atoms(resp, req, environ, request_time)["r"];
sorted(k for k in log.atoms(resp, req, environ, request_time) if k[0] != "{{")
'''
accesslog, errorlog, logger_class = "-", "-", Mine
access_log_format = "%(t)s %(mine)s %(wrapped)s {FORMAT}"
"""


def logger_class(subject: Subject) -> Findings:
    source = LOGGER_CLASS.replace("SERVER", subject.name)
    (subject.folder / "logger.py").write_text(source)
    server = subject.serve(LOGGED_APP, "-c", "logger.py")
    for path in PATHS:
        server.get(f"/{path}?a=b", f"X-In: {path}", "User-Agent: test")
        server.wait_log(f"X-In}}i={path}")
    server.stop()
    told = re.findall(r"gunicorn\.\w+\|.*", server.log)
    told = [re.sub(r"(\(|pid: )\d+", r"\1PID", line).replace("|", "\n") for line in told]
    return {**seen(subject), "lines": log_lines(subject, told)}


SCENARIOS: dict[str, Scenario] = {
    "access-lines": lines(),
    "access-lines-gthread": lines("-k", "gthread", "--threads", "2"),
    "access-records": records,
    "logger-class": logger_class,
}
