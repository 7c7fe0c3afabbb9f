# SPDX-License-Identifier: MIT
"""Scenarios about the Python objects that hooks, logger classes and applications get: each
expression is evaluated in both servers, and what it gives, or raises, is compared."""

from __future__ import annotations

import json
from collections import defaultdict

from compat import APP, Findings, Scenario, Subject
from harness import poll

#: Writes what expressions give into the file `seen`.
LOOK = """
import collections, json, os, sys

def shown(value):
    if isinstance(value, dict):
        return "{%s}" % ", ".join(f"{k!r}: {shown(value[k])}" for k in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + repr([shown(item) for item in value])
    if callable(value):
        return "callable"
    return repr(value)

def look(moment, expressions, **names):
    with open("seen", "a") as f:
        for expression in filter(None, map(str.strip, expressions.split(";"))):
            try:
                value = shown(eval(expression, globals(), names))
            except Exception as e:
                value = f"raises {type(e).__name__}"
            print(json.dumps([moment, f"{expression} -> {value}"]), file=f)
        print(json.dumps([moment, "."]), file=f)
"""

#: Expressions about what hooks get; CFG wherever it is met.
CFG = """
cfg.workers; cfg.bind; cfg.threads; cfg.timeout; cfg.graceful_timeout; cfg.worker_class_str;
cfg.address; cfg.env; cfg.is_ssl; cfg.uid == os.geteuid(); cfg.gid == os.getegid();
cfg.proc_name; cfg.default_proc_name; cfg.raw_env; cfg.wsgi_app; cfg.reuse_port;
cfg.preload_app; cfg.accesslog; cfg.errorlog; cfg.loglevel; cfg.access_log_format;
cfg.logger_class.__name__; cfg.pidfile; cfg.worker_tmp_dir; cfg.user == os.geteuid();
cfg.umask; cfg.max_requests; cfg.settings['workers'].get(); cfg.settings['bind'].get();
'workers' in cfg.settings; cfg.settings['workers'].value; cfg.settings['timeout'].default;
len(cfg.settings) > 80; cfg.settings['workers'].name; cfg.settings['workers'].section;
cfg.settings['nope']; cfg.settings['workers'].cli; cfg.nope; hasattr(cfg, 'nope');
getattr(cfg, 'x', 7); cfg.set('nope', 1); cfg.set('workers', 'many');
setattr(cfg, 'workers', 3); cfg.ssl_options['certfile']; cfg.paste_global_conf; cfg.prog;
cfg.usage; cfg.secure_scheme_headers; cfg.forwarded_allow_ips; cfg.proxy_allow_ips;
cfg.forwarder_headers; cfg.statsd_prefix; cfg.dogstatsd_tags; cfg.limit_request_line;
cfg.post_request; cfg.on_starting; cfg.when_ready; cfg.pre_request; cfg.child_exit;
cfg.worker_class; cfg.settings['worker_class'].get(); 'PATH' in cfg.env_orig;
cfg.get_cmd_args_from_env; cfg.set('timeout', None); cfg.settings['group'].get() >= 0;
str(cfg).count('workers') > 0; cfg.config; cfg.chdir; cfg.pythonpath; cfg.daemon;
cfg.logconfig_dict; cfg.forwarded_allow_networks(); cfg.proxy_allow_networks()
"""
SERVER = """
server.pid == os.getpid(); server.address; server.num_workers; server.proc_name;
server.timeout; server.worker_age; server.master_name; server.master_pid; server.reexec_pid;
server.systemd; sorted(map(str, server.START_CTX)); len(server.LISTENERS);
sorted(server.WORKERS) == []; server.pidfile.fname; server.app.cfg is server.cfg;
server.app.app_uri; server.app.prog; server.app.usage; server.app.logger;
server.log.error_log.name; server.log.access_log.name; server.PIPE; len(server.SIGNALS);
server.SIGNALS[0]; server.worker_class.__name__; server.nope; server.cfg.workers;
server.WORKER_BOOT_ERROR; server.APP_LOAD_ERROR;
[str(l).partition(':')[0] for l in server.LISTENERS]; server.wakeup;
[l.getsockname()[0] for l in server.LISTENERS]; server.manage_workers;
[l.cfg_addr for l in server.LISTENERS]; [l.fileno() > 2 for l in server.LISTENERS];
[l.sock.family.name for l in server.LISTENERS]; server.halt; server.stop;
[l.family.name for l in server.LISTENERS]; server.kill_worker; server.spawn_worker;
[str(l.sock.type) for l in server.LISTENERS]; server.maybe_promote_master;
[l.sock.gettimeout() for l in server.LISTENERS]; server.murder_workers
"""
WORKER = """
worker.age; worker.pid == os.getpid(); worker.ppid == server_pid; worker.pid == '[booting]';
str(worker) == f'<Worker {worker.pid}>'; worker.ppid == os.getpid(); len(worker.sockets);
worker.app is server_app[0]; worker.timeout; worker.booted; worker.aborted; worker.nr;
worker.max_requests; worker.alive; worker.log is worker.log; worker.cfg.workers;
worker.reloader; worker.tmp.last_update() > 0; worker.tmp.fileno() > 2; worker.notify();
worker.tmp.notify(); worker.wsgi; worker.file; worker.nope;
[s.getsockname()[0] for s in worker.sockets]; worker.app.app_uri; worker.app.wsgi;
worker.app.callable; worker.load_wsgi; worker.handle_exit; worker.init_signals; worker.run;
worker.init_process; len(worker.SIGNALS) > 5; worker.PIPE is None; worker.log.error_log.level;
worker.cfg is worker.app.cfg; worker.sockets[0].sock.family.name
"""
REQUEST = """
req.method; req.uri; req.path; req.query; req.fragment; req.version; req.headers; req.trailers;
req.scheme; req.peer_addr[0]; req.remote_addr[0]; req.req_number; req.proxy_protocol_info;
req.should_close(); req.must_close; req.cfg.workers; req.limit_request_line;
req.limit_request_fields; req.body.read(); req.limit_request_field_size;
req.unreader.sock.fileno() > 2; req.nope; req.is_chunked(); req.force_close;
req.content_length
"""
RESPONSE = """
resp.status; resp.status_code; resp.headers; resp.sent; resp.response_length;
resp.headers_sent; resp.chunked; resp.must_close; resp.upgrade; resp.version; resp.req is req;
resp.cfg.workers; resp.sock.fileno() > 2; resp.nope; resp.should_close(); resp.is_chunked();
type(resp.headers[0]).__name__; worker.nr; sorted(environ)[:2]; environ['x.left'];
resp.force_close
"""

HOOKS = f"""
{LOOK}
CFG, SERVER, WORKER = {CFG!r}, {SERVER!r}, {WORKER!r}
REQUEST, RESPONSE = {REQUEST!r}, {RESPONSE!r}
raw_env = ["A=b=c", "D=e"]
bind = ["127.0.0.1:0", "unix:a.sock"]
pidfile = "pid"
proc_name = "mine"
server_pid, server_app = os.getpid(), []

def on_starting(server):
    server_app.append(server.app)
    look("on_starting, server", SERVER, server=server)
    look("on_starting, cfg", CFG, cfg=server.cfg)

def when_ready(server):
    look("when_ready, server", SERVER, server=server)

def pre_fork(server, worker):
    if worker.age == 1:
        look("pre_fork, worker", WORKER, worker=worker)

def post_fork(server, worker):
    look("post_fork, worker", WORKER, worker=worker)

def post_worker_init(worker):
    look("post_worker_init, worker", WORKER, worker=worker)
    look("post_worker_init, cfg", CFG, cfg=worker.cfg)

def pre_request(worker, req):
    look("pre_request", REQUEST.replace("req.body.read();", ""), req=req)

def post_request(worker, req, environ, resp):
    look("post_request, req", REQUEST, req=req)
    look("post_request, resp", RESPONSE, req=req, worker=worker, environ=environ, resp=resp)

def worker_exit(server, worker):
    look("worker_exit, worker", WORKER, worker=worker)

def child_exit(server, worker):
    look("child_exit", "worker.pid in server.WORKERS; worker.age; worker.tmp.fileno() > 2;"
         "worker.booted; worker.alive", server=server, worker=worker)

def on_exit(server):
    look("on_exit, server", SERVER, server=server)
"""

SEEN_APP = APP.replace("    start", "    environ['x.left'] = 'here'\n    start")


def hooks(subject: Subject) -> Findings:
    """A life in which every hook looks at what it is given."""
    (subject.folder / "looking.py").write_text(HOOKS)
    server = subject.serve(SEEN_APP, "-c", "looking.py", bind=())
    server.get("/a%20b?c=d", "X-A: 1")
    poll(lambda: "post_request, resp" in seen(subject), "the hooks have been called")
    server.stop()
    return seen(subject, str(server.port))


def seen(subject: Subject, port: str = "PORT") -> dict[str, list[str]]:
    """What was looked at so far, by moment: of a moment that came twice the first time."""
    path = subject.folder / "seen"
    found: defaultdict[str, list[str]] = defaultdict(list)
    for line in path.read_text().splitlines(keepends=True) if path.exists() else ():
        if not line.endswith("\n"):
            break
        moment, told = json.loads(line)
        if found[moment][-1:] != ["."]:
            found[moment].append(told.replace(port, "PORT"))
    return {
        moment: subject.plain("\n".join(lines[:-1]))
        for moment, lines in found.items()
        if lines[-1] == "."
    }


#: Settings that are changed when the server has read them, and what shows whether they count.
CHANGES = f"""
{LOOK}
def on_starting(server):
    for name, value in {{
        "bind": ["127.0.0.1:0", "unix:b.sock"],
        "limit_request_line": 100,
        "keepalive": 7,
        "max_requests": 3,
        "post_request": lambda worker, req: look("post_request", "req.path", req=req),
        "proc_name": "other",
        "raw_env": ["A=late"],
        "access_log_format": "mine %(U)s",
    }}.items():
        server.cfg.set(name, value)
    server.num_workers = 2
    look("on_starting", "server.cfg.bind; server.num_workers; server.cfg.workers;"
         "server.cfg.max_requests; server.proc_name", server=server)

def when_ready(server):
    look("when_ready", "server.address; len(server.LISTENERS); server.cfg.bind;"
         "server.num_workers; server.proc_name", server=server)

def pre_fork(server, worker):
    if worker.age == 2:
        look("pre_fork", "worker.age; server.num_workers", server=server, worker=worker)

def post_worker_init(worker):
    look("worker", "worker.max_requests; worker.cfg.keepalive; worker.cfg.limit_request_line;"
         "worker.cfg.access_log_format; os.environ.get('A')", worker=worker)

def worker_exit(server, worker):
    look("worker_exit", "worker.age <= 2; worker.max_requests", worker=worker)
"""


def changes(subject: Subject) -> Findings:
    (subject.folder / "changing.py").write_text(CHANGES)
    server = subject.serve(APP, "-c", "changing.py", "--access-logfile", "-")
    server.wait_workers(2)
    server.get("/a")
    server.wait_log("mine /a")
    too_long = server.get("/" + "x" * 100).status
    poll(lambda: "post_request" in seen(subject), "the hook is called")
    listening = server.wait_log("Listening at: (.*) \\(").group(1)
    subject.wait_hearing(server, 2)
    server.stop()
    shown = [listening.replace(str(server.port), "PORT"), f"too long: {too_long // 100}xx"]
    return {**seen(subject, str(server.port)), "shown": subject.plain("\n".join(shown))}


#: What an application finds in its environ and around it.
INSIDE = """
os.environ.get("SERVER_SOFTWARE"); environ["SERVER_SOFTWARE"]; environ["wsgi.version"];
type(environ).__name__; errors.write("said\\n") in (None, 5); errors.writelines(["a\\n", "b\\n"]);
errors.flush(); errors.closed; errors.isatty(); errors.writable(); errors.readable();
errors.seekable(); errors.fileno() >= 0; errors.name; errors.mode; errors.encoding; errors.close;
errors.write("\\xe9\\u20ac\\n") in (None, 3); errors.write("x") in (None, 1);
print("printed", file=errors); logging.StreamHandler(errors).emit(record); errors.newlines;
traceback.print_exc(file=errors); input.read(2); input.readline(); input.readlines(); input.read();
input.close; input.read(0); input.readline(0); input.seek; input.tell; input.fileno; input.closed;
input.name; input.read(size=1); input.read(None); input.readline(None); list(input);
hasattr(input, "readable");
wrapper(io.BytesIO(b"abc"), 2)[0]; list(wrapper(io.BytesIO(b"abc"), 2)); wrapper.__name__;
wrapper(io.BytesIO(b"abc")).filelike.read(); wrapper(io.BytesIO(), 5).blksize;
wrapper(io.BytesIO(), blksize=3).blksize; wrapper(filelike=io.BytesIO(b"a")).filelike.read();
next(wrapper(io.BytesIO(b"abc"), 2)); wrapper(io.BytesIO()).close(); wrapper(object()).close;
wrapper(); isinstance(wrapper, type); iter(wrapper(io.BytesIO(b"a"))) is not None;
hints([("Link", "</a>")]); hints([["Link", "</b>"]]); hints([]); hints([(b"Link", b"</c>")]);
hints([("A B", "x")]); hints([("Link", "a\\nb")]); hints("x"); hints(()); socket.fileno() > 2;
socket.getsockname()[0]; socket.getpeername()[0]; socket.family.name;
start.__name__ == ""; write; write.__name__ == ""; callable(start); copy.copy(environ) == environ;
threading.current_thread() is threading.main_thread(); threading.current_thread().name;
sys.argv[1:3]; sys.argv[0].rpartition("/")[2]; __name__; sys.modules["app"].__name__;
signal.getsignal(signal.SIGTERM) is None; os.getcwd() == sys.path[0]; sys.path[0] == os.getcwd();
sys.flags.dev_mode; os.getppid() > 1; sys.stdin.read();
logging.getLogger("gunicorn.error").handlers != []; logging.getLogger("gunicorn").handlers;
logging.getLogger().handlers; logging.getLogger("gunicorn.error").propagate; logging.root.level
"""

INSIDE_APP = f"""
{LOOK}
import copy, io, logging, signal, threading, traceback
INSIDE = {INSIDE!r}

def app(environ, start_response):
    record = logging.LogRecord("a", 20, "", 0, "logged %s", (1,), None)
    if environ["PATH_INFO"] == "/":
        write = start_response("200 OK", [("Content-Length", "2")])
        names = ("errors", "input", "file_wrapper", "early_hints")
        errors, input, wrapper, hints = (environ[f"wsgi.{{name}}"] for name in names)
        socket, start = environ["gunicorn.socket"], start_response
        look("inside", INSIDE, record=record, **{{k: v for k, v in locals().items()
                                                 if k not in ("names", "record")}})
    return [b"hi"]
"""


def inside(subject: Subject) -> Findings:
    server = subject.serve(INSIDE_APP)
    body = "one\ntwo\nthree"
    head = f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    server.raw(f"{head}{body}".encode())
    server.stop()
    return seen(subject, str(server.port))


SCENARIOS: dict[str, Scenario] = {"hook-objects": hooks, "set-in-hooks": changes, "inside": inside}
