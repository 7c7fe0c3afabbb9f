# SPDX-License-Identifier: MIT
"""Scenarios that are the ways in which projects use Gunicorn: programs that run it, loggers that
take its lines elsewhere, hooks for metrics and tracing. The code is that of such projects, written
anew; in it SERVER stands for the package."""

from __future__ import annotations

import re

from compat import APP, Findings, Scenario, Subject
from compat_objects import LOOK, seen
from compat_wire import log_lines
from harness import poll

#: The application of every program here.
HANDLER = f"{LOOK}\n" + APP.replace("def app", "def handler")

#: Programs, by their kind; OPTIONS are set by load_config().
PROGRAMS = {
    # Custom Application of Gunicorn's documentation.
    "base": """
from SERVER.app.base import BaseApplication

class Program(BaseApplication):
    def __init__(self, app, options):
        self.options, self.application = options, app
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            if key in self.cfg.settings and value is not None:
                self.cfg.set(key.lower(), value)
        look("cfg", CFG, cfg=self.cfg)

    def load(self):
        look("load", "self.cfg.workers; self.cfg.proc_name; self.callable; self.logger; self.prog;"
             "self.usage; self.cfg.settings['timeout'].get(); self.cfg.bind[0]", self=self)
        return self.application

Program(handler, OPTIONS).run()
""",
    # A management command of Django: a config file, and options that are stronger.
    "command": """
from SERVER.app.base import Application

class Command(Application):
    def __init__(self, options, usage=None, prog=None):
        self.options = options
        super().__init__(usage, prog)

    def init(self, parser, opts, args):
        return {}

    def load_config(self):
        self.load_config_from_file("file.conf.py")
        for key, value in self.options.items():
            self.cfg.set(key, value)
        self.chdir()
        look("cfg", CFG, cfg=self.cfg)

    def load(self):
        return handler

Command(OPTIONS, "%(prog)s [OPTIONS]", prog="command").run()
""",
    # A program that serves an application by its name.
    "wsgiapp": """
from SERVER.app.wsgiapp import WSGIApplication

class Program(WSGIApplication):
    def __init__(self, app_uri, options):
        self.options, self.app_uri = options, app_uri
        super().__init__()

    def load_config(self):
        for key, value in self.options.items():
            self.cfg.set(key, value)
        look("cfg", CFG, cfg=self.cfg)

Program("app:app", OPTIONS).run()
""",
    # A command with arguments and a config file of its own.
    "arguments": """
from SERVER.app.base import Application

class Program(Application):
    def init(self, parser, opts, args):
        look("init", "hasattr(parser, 'add_argument'); args; opts.args; opts.workers; opts.bind;"
             "opts.config", parser=parser, opts=opts, args=args)
        return {"bind": "127.0.0.1:0", "workers": 3, "timeout": 77}

    def load(self):
        look("load", "self.cfg.workers; self.cfg.timeout; self.cfg.threads", self=self)
        return handler

sys.argv[1:] = ["-c", "file.conf.py", "-w", "1", "name"]
Program("%(prog)s [OPTIONS]").run()
""",
}
CFG = """
cfg.workers; cfg.bind; cfg.timeout; cfg.threads; cfg.worker_class_str; cfg.address; cfg.env;
'bind' in cfg.settings; cfg.settings['workers'].get(); cfg.is_ssl; cfg.preload_app; cfg.loglevel;
cfg.set('nope', 1); cfg.set('workers', 'x'); cfg.nope; cfg.accesslog; cfg.uid == os.geteuid()
"""


def program(kind: str) -> Scenario:
    def scenario(subject: Subject) -> Findings:
        options = {"bind": "127.0.0.1:0", "workers": 2, "raw_env": ["A=b"], "proc_name": "mine"}
        (subject.folder / "file.conf.py").write_text("timeout = 55\nthreads = 2\nother = 1\n")
        source = f"{HANDLER}\nCFG = {CFG!r}\n{PROGRAMS[kind]}".replace("OPTIONS)", f"{options!r})")
        source = source.replace("(OPTIONS,", f"({options!r},").replace("SERVER", subject.name)
        (subject.folder / "program.py").write_text(source)
        server = subject.run_program()
        answer = server.get()
        subject.wait_hearing(server, 1 if kind == "arguments" else 2)
        code = server.stop()
        of_many = ("Booting", "exiting", "Control socket")
        told = [t for t in server.log.splitlines() if not any(word in t for word in of_many)]
        told = [re.sub(r"\(\d+\)", "(PID)", line) for line in told]
        return {
            **seen(subject, str(server.port)),
            "end": [f"{answer.status} {answer.body!r}", f"exit {code}"],
            "log": log_lines(subject, told),
        }

    return scenario


#: Config files that have the server's lines go where the project wants them, by their kind.
LOGGERS = {
    # loguru: everything goes to one handler of the root's.
    "intercept": """
import logging
from SERVER.glogging import Logger

class InterceptHandler(logging.Handler):
    def emit(self, record):
        frame, depth = logging.currentframe(), 2
        while frame and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        print("caught", record.levelname, record.name, record.getMessage(), flush=True)

class StubbedLogger(Logger):
    def setup(self, cfg):
        handler = logging.NullHandler()
        self.error_logger = logging.getLogger("gunicorn.error")
        self.error_logger.addHandler(handler)
        self.access_logger = logging.getLogger("gunicorn.access")
        self.access_logger.addHandler(handler)
        self.error_logger.setLevel("INFO")
        self.access_logger.setLevel("INFO")

handler = InterceptHandler()
logging.root.setLevel("INFO")
for name in ("gunicorn", "gunicorn.access", "gunicorn.error"):
    logging.getLogger(name).handlers = [handler]
accesslog, logger_class = "-", StubbedLogger
""",
    # structlog: loggers are replaced, and the methods go past logging.
    "structured": """
import json
from SERVER.glogging import Logger

class Structured:
    def __init__(self, **bound):
        self.bound = bound
    def bind(self, **more):
        return Structured(**self.bound, **more)
    def __getattr__(self, level):
        return lambda event, **more: print("structured", json.dumps(
            {"event": str(event), "level": level, **self.bound, **more}, sort_keys=True),
            flush=True)

class GunicornLogger:
    def __init__(self, cfg):
        self._error = Structured(logger="gunicorn.error")
        self._access = Structured(logger="gunicorn.access")
        self.cfg = cfg
    def critical(self, msg, *args, **kwargs): self._error.critical(msg % args if args else msg)
    def error(self, msg, *args, **kwargs): self._error.error(msg % args if args else msg)
    def warning(self, msg, *args, **kwargs): self._error.warning(msg % args if args else msg)
    def info(self, msg, *args, **kwargs): self._error.info(msg % args if args else msg)
    def debug(self, msg, *args, **kwargs): pass
    def exception(self, msg, *args, **kwargs): self._error.exception(msg % args)
    def log(self, lvl, msg, *args, **kwargs): self._error.log(msg % args)
    def access(self, resp, req, environ, request_time):
        self._access.info("request", status=resp.status.split()[0], path=environ["PATH_INFO"],
            method=environ["REQUEST_METHOD"], query=environ["QUERY_STRING"], size=resp.sent,
            fast=request_time.total_seconds() < 60, agent=environ.get("HTTP_USER_AGENT"))
    def reopen_files(self): pass
    def close_on_exec(self): pass

logger_class = GunicornLogger
""",
    # A JSON formatter that reads the atoms.
    "json": """
import datetime, json, logging

class JsonFormatter(logging.Formatter):
    def format(self, record):
        return "error " + json.dumps([record.levelname, record.name, record.getMessage()])

class JsonRequestFormatter(JsonFormatter):
    def format(self, record):
        args = record.args
        time = datetime.datetime.strptime(args["t"], "[%d/%b/%Y:%H:%M:%S %z]")
        url = args["U"] + (f"?{args['q']}" if args["q"] else "")
        return "json " + json.dumps({
            "remote_ip": args["h"], "method": args["m"], "path": url, "status": str(args["s"]),
            "user_agent": args["a"], "referer": args["f"], "fast": args["M"] < 60000,
            "pid": args["p"][:1], "tz": str(time.tzinfo), "id": args["{x-request-id}i"],
            "line": args["r"], "bytes": args["B"], "missing": args["{nope}o"]})

logconfig_dict = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": JsonFormatter}, "request": {"()": "__config__.JsonRequestFormatter"}
    },
    "handlers": {
        name: {"class": "logging.StreamHandler", "formatter": form, "stream": "ext://sys.stdout"}
        for name, form in (("error", "json"), ("access", "request"))
    },
    "root": {"level": "WARNING", "handlers": ["error"]},
    "loggers": {
        "gunicorn.error": {"level": "INFO", "handlers": ["error"], "propagate": False},
        "gunicorn.access": {"level": "INFO", "handlers": ["access"], "propagate": False},
    },
}
""",
    # A logger class with formatters of its own.
    "formatted": """
import logging
from SERVER import glogging

class Coloured(logging.Formatter):
    COLOURS = {"INFO": "<green>", "WARNING": "<yellow>", "ERROR": "<red>"}
    def format(self, record):
        record.levelname = self.COLOURS.get(record.levelname, "") + record.levelname
        return super().format(record)

class ColouredLogger(glogging.Logger):
    error_fmt = "[%(process)d] %(levelname)s: %(message)s"
    access_fmt = "access: %(message)s"
    datefmt = "%H"
    def setup(self, cfg):
        super().setup(cfg)
        self._set_handler(self.error_log, cfg.errorlog, Coloured("%(levelname)s %(message)s"))
        self.access_log.handlers[0].addFilter(lambda record: "/health" not in record.getMessage())

accesslog, logger_class = "-", ColouredLogger
access_log_format = '%(h)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %({x-request-id}i)s'
""",
    # Health checks are dropped by a filter, and by access().
    "filtered": """
import logging
from SERVER.glogging import Logger

class NoHealth(logging.Filter):
    def filter(self, record):
        return record.args["U"] != "/health" and "kube-probe" not in record.args["a"]

class FilteredLogger(Logger):
    def setup(self, cfg):
        super().setup(cfg)
        logging.getLogger("gunicorn.access").addFilter(NoHealth())

accesslog, logger_class = "-", FilteredLogger
access_log_format = "%(m)s %(U)s %(s)s"
""",
    "silenced": """
from SERVER.glogging import Logger

class QuietLogger(Logger):
    def access(self, resp, req, environ, request_time):
        if req.path == "/health" and resp.status_code < 400:
            return
        super().access(resp, req, environ, request_time)
    def atoms(self, resp, req, environ, request_time):
        atoms = super().atoms(resp, req, environ, request_time)
        atoms["trace"] = environ.get("HTTP_X_REQUEST_ID", "none")
        return atoms

accesslog, logger_class = "-", QuietLogger
access_log_format = "%(m)s %(U)s %(s)s %(trace)s"
""",
    # What an application does with Flask's logger, and with the root's.
    "shared": """
import logging
accesslog, access_log_format = "-", "%(m)s %(U)s %(s)s"
def post_worker_init(worker):
    error = logging.getLogger("gunicorn.error")
    mine = logging.getLogger("mine")
    mine.handlers, mine.propagate = error.handlers, False
    mine.setLevel(error.level)
    mine.info("said by %s", "mine")
    logging.root.handlers = error.handlers
    logging.root.setLevel("INFO")
    logging.getLogger("other").warning("said by another")
    worker.log.info("said by worker.log")
def post_request(worker, req, environ, resp):
    worker.log.info("%s took little", req.path)
""",
}


def logger(kind: str) -> Scenario:
    def scenario(subject: Subject) -> Findings:
        (subject.folder / "logs.py").write_text(LOGGERS[kind].replace("SERVER", subject.name))
        server = subject.serve(APP, "-c", "logs.py", "-t", "60")
        server.wait_log("Booting")
        server.get("/a?b=c", "X-Request-Id: 1", "User-Agent: test")
        server.get("/health")
        server.get("/b", "User-Agent: kube-probe/1.0")
        server.get("/last", "User-Agent: test")
        server.wait_log("/last(.*\n)+")
        server.stop()
        told = [re.sub(r"(\(|pid: )\d+", r"\1PID", t) for t in server.log.splitlines()]
        return {"lines": log_lines(subject, told)}

    return scenario


#: Numbers of each worker in a file of its own, as clients of Prometheus keep them; a tracer that is
#: started in each worker.
METRICS = """
import os, pathlib, threading
max_requests = 2
FOLDER = pathlib.Path("numbers")
FOLDER.mkdir(exist_ok=True)

def when_ready(server):
    server.log.info("cleaning %s", sorted(FOLDER.iterdir()))

def post_fork(server, worker):
    worker.tracer = threading.Thread(target=lambda: None, name="tracer")
    worker.tracer.start()
    (FOLDER / f"counter_{worker.pid}").write_text("0")
    server.log.info("Worker spawned (pid: %s)", worker.pid)

def post_request(worker, req, environ, resp):
    path = FOLDER / f"counter_{os.getpid()}"
    path.write_text(str(int(path.read_text()) + 1))
    if int(path.read_text()) != worker.nr:
        worker.log.error("counted %s, not %d", path.read_text(), worker.nr)

def worker_exit(server, worker):
    worker.tracer.join()
    worker.log.info("worker %d did %d", worker.age, worker.nr)

def child_exit(server, worker):
    (FOLDER / f"counter_{worker.pid}").unlink()
    server.log.info("marked %d dead: %s", worker.age, worker.pid not in server.WORKERS)
"""


def metrics(subject: Subject) -> Findings:
    (subject.folder / "metrics.py").write_text(METRICS)
    server = subject.serve(APP, "-c", "metrics.py")
    for age in (1, 2):
        server.wait_log("Worker spawned", count=age)
        server.get("/a")
        server.get("/b")
        server.wait_log(f"marked {age} dead")
    server.wait_log("Worker spawned", count=3)
    folder = subject.folder / "numbers"
    poll(lambda: len(list(folder.iterdir())) == 1, "one file is left")
    subject.wait_hearing(server)
    code = server.stop()
    told = re.findall(r"\] (worker \d+ did \d+|marked .*|cleaning .*|counted .*)", server.log)
    return {"told": sorted(told), "left": [f"{len(list(folder.iterdir()))}", f"exit {code}"]}


SCENARIOS: dict[str, Scenario] = {
    **{f"program-{kind}": program(kind) for kind in PROGRAMS},
    **{f"logger-{kind}": logger(kind) for kind in LOGGERS},
    "metrics": metrics,
}
