# SPDX-License-Identifier: MIT
"""Agents that measure applications: they come in through sitecustomize, as newrelic-admin and
opentelemetry-instrument do it, wrap the application when its module is imported, and look at the
stacks of threads. Written here as they do it, without any of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server, poll

Serve = Callable[..., Server]

#: An import hook that calls instrument(module) after a module was imported, wherever from.
HOOK = """
import importlib.abc, importlib.util, sys

class Loader(importlib.abc.Loader):
    def __init__(self, loader, instrument):
        self.loader, self.instrument = loader, instrument
    def create_module(self, spec):
        return self.loader.create_module(spec)
    def exec_module(self, module):
        self.loader.exec_module(module)
        self.instrument(module)

class Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name, instrument):
        self.name, self.instrument = name, instrument
    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        spec.loader = Loader(spec.loader, self.instrument)
        return spec

def after_import(name, instrument):
    sys.meta_path.insert(0, Finder(name, instrument))
"""

#: A proxy in place of a function, with wrappers for all that goes through it.
AGENT = (
    HOOK
    + """
class Proxy:
    def __init__(self, wrapped):
        self.__wrapped__ = wrapped
    def __getattr__(self, name):
        return getattr(self.__wrapped__, name)
    def __call__(self, environ, start_response):
        environ["agent.seen"] = True
        def measured(status, headers, *args):
            write = start_response(status, [*headers, ("X-Trace", "4711")], *args)
            return lambda data: write(data)
        return Body(self.__wrapped__(environ, measured))

class Body:
    def __init__(self, wrapped):
        self.wrapped, self.size = wrapped, 0
    def __iter__(self):
        for chunk in self.wrapped:
            self.size += len(chunk)
            yield chunk
    def close(self):
        if hasattr(self.wrapped, "close"):
            self.wrapped.close()
        print("agent: response of", self.size, flush=True)

def instrument(module):
    module.app = Proxy(module.app)

after_import("app", instrument)
"""
)


def serve_with(serve: Serve, directory: Path, agent: str, app: str, *args: str) -> Server:
    """As newrelic-admin and opentelemetry-instrument start a command."""
    boot = directory / "agent"
    boot.mkdir()
    (boot / "sitecustomize.py").write_text(agent)
    return serve(app, *args, env={"PYTHONPATH": str(boot)})


BODIES = {
    "list": "return [b'he', b'llo']",
    "generator": "return (chunk for chunk in (b'he', b'llo'))",
    "closed": """
    class Chunks:
        def __iter__(self):
            return iter((b'he', b'llo'))
        def close(self):
            print("app: closed", flush=True)
    return Chunks()""",
    "written": "write(b'he'); return [b'llo']",
    "again": """
    try:
        raise ValueError
    except ValueError:
        start_response("200 OK", [], sys.exc_info())
    return [b'hello']""",
}


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["forked", "preloaded"])
@pytest.mark.parametrize("body", BODIES)
def test_an_application_wrapped_at_import(
    serve: Serve, tmp_path: Path, worker_class: str, body: str, preload: tuple[str, ...]
) -> None:
    app = f"""
import sys
def app(environ, start_response):
    assert environ["agent.seen"]
    write = start_response("200 OK", [])
    {BODIES[body]}
"""
    server = serve_with(serve, tmp_path, AGENT, app, "-k", worker_class, *preload)
    response = server.get()
    assert (response.status, response.body) == (200, b"hello"), server.log
    assert response.field("X-Trace") == "4711"
    server.wait_log("agent: response of " + ("3" if body == "written" else "5"))
    if body == "closed":
        server.wait_log("app: closed")
    assert server.log.count("app: closed") == (body == "closed")


def test_a_framework_wrapped_at_import(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    agent = (
        HOOK
        + """
def instrument(flask):
    class Measured(flask.Flask):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            inner = self.wsgi_app
            def wsgi_app(environ, start_response):
                def measured(status, headers, exc_info=None):
                    return start_response(status, [*headers, ("X-Trace", "4711")], exc_info)
                return inner(environ, measured)
            self.wsgi_app = wsgi_app
    flask.Flask = Measured
after_import("flask", instrument)
"""
    )
    app = """
import flask
app = flask.Flask("app")
@app.route("/")
def home():
    return "hello"
"""
    pytest.importorskip("flask")
    server = serve_with(serve, tmp_path, agent, app, "-k", worker_class)
    response = server.get()
    assert (response.body, response.field("X-Trace")) == (b"hello", "4711")


WRAPT = (
    HOOK
    + """
import wrapt

class Call(wrapt.ObjectProxy):
    def __call__(self, *args, **kwargs):
        return self.__wrapped__(*args, **kwargs)

def wrapped_application(wrapped, instance, args, kwargs):
    environ, start_response = args
    @wrapt.function_wrapper
    def start(wrapped, instance, args, kwargs):
        status, headers, *rest = args
        write = wrapped(status, [*headers, ("X-Trace", "4711")], *rest, **kwargs)
        return Call(write)
    environ["agent.names"] = [start_response.__name__, repr(callable(start_response))]
    environ["wsgi.input"] = wrapt.ObjectProxy(environ["wsgi.input"])
    environ["wsgi.errors"] = wrapt.ObjectProxy(environ["wsgi.errors"])
    environ["wsgi.file_wrapper"] = wrapt.FunctionWrapper(environ["wsgi.file_wrapper"], plain)
    return Body(wrapped(wrapt.CallableObjectProxy(environ), start(start_response)))

def plain(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)

class Body(wrapt.ObjectProxy):
    def __iter__(self):
        for chunk in self.__wrapped__:
            yield chunk
    def close(self):
        if hasattr(self.__wrapped__, "close"):
            self.__wrapped__.close()
        print("agent: closed", flush=True)

def instrument(module):
    module.app = wrapt.FunctionWrapper(module.app, wrapped_application)

after_import("app", instrument)
"""
)


@pytest.mark.parametrize(
    "body",
    [
        "write(b'he'); return [b'llo']",
        "return environ['wsgi.file_wrapper'](io.BytesIO(environ['wsgi.input'].read()))",
        "return environ['wsgi.file_wrapper'](open('file', 'rb'))",
        "print('said', file=environ['wsgi.errors']); return [environ['wsgi.input'].read(5)]",
        "environ['wsgi.errors'].write('x'); return environ['wsgi.input']",
    ],
    ids=["written", "bytes as file", "file", "errors", "input as body"],
)
def test_proxies_around_everything_that_the_server_gives(
    serve: Serve, tmp_path: Path, worker_class: str, body: str
) -> None:
    """As the wrappers of New Relic, Datadog and OpenTelemetry are made."""
    pytest.importorskip("wrapt")
    (tmp_path / "file").write_bytes(b"hello")
    app = f"""
import io
def app(environ, start_response):
    assert environ["agent.names"] == ["start_response", "True"]
    write = start_response("200 OK", [])
    {body}
"""
    server = serve_with(serve, tmp_path, WRAPT, app, "-k", worker_class)
    sent = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    answer = server.raw(sent)
    assert b" 200 OK" in answer and b"hello" in answer.replace(b"he\r\n3\r\nllo", b"hello"), (
        server.log
    )
    assert b"X-Trace: 4711" in answer
    server.wait_log("agent: closed")


def test_classes_of_the_server_may_be_wrapped(serve: Serve, tmp_path: Path) -> None:
    """As agents do with gunicorn.app.base: the class's methods are replaced when it is imported."""
    pytest.importorskip("wrapt")
    agent = f"""{HOOK}
import wrapt

def around_load(wrapped, instance, args, kwargs):
    app = wrapped(*args, **kwargs)
    def measured(environ, start_response):
        environ["agent.seen"] = True
        return app(environ, start_response)
    print("agent: loaded by", type(instance).__name__, flush=True)
    return measured

def instrument(module):
    wrapt.wrap_function_wrapper(module, "Program.wsgi", around_load)

after_import("program", instrument)
"""
    (tmp_path / "program.py").write_text("""
from cgunicorn.app.base import BaseApplication
class Program(BaseApplication):
    def load_config(self):
        self.cfg.set("bind", "127.0.0.1:0")
    def load(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"%d" % environ["agent.seen"]]
        return app
""")
    boot = tmp_path / "agent"
    boot.mkdir()
    (boot / "sitecustomize.py").write_text(agent)
    command = (sys.executable, "-c", "import program; program.Program().run()")
    env = {"PYTHONPATH": str(boot)}
    server = serve(None, command=command, bind=(), spec="", env=env)
    assert server.get().body == b"1"
    assert "agent: loaded by Program" in server.log


def test_a_profiler_sees_the_frames_of_the_application(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    app = """
import sys, threading, time, traceback

def view():
    done.wait(30)

done = threading.Event()

def sample():
    while not done.is_set():
        for frame in sys._current_frames().values():
            names = [entry.name for entry in traceback.extract_stack(frame)]
            if "view" in names:
                print("sampled", names[names.index("app"):names.index("view") + 1], flush=True)
                done.set()
        time.sleep(0.01)

def app(environ, start_response):
    threading.Thread(target=sample, daemon=True).start()
    view()
    start_response("200 OK", [])
    return [b"hello"]
"""
    server = serve(app, "-k", worker_class)
    assert server.get().body == b"hello"
    assert "sampled ['app', 'view']" in server.log


def test_an_agent_may_begin_in_post_fork_with_threads(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    (tmp_path / "gunicorn.conf.py").write_text("""
import threading

def send():
    while True:
        print("agent: alive", flush=True)
        if threading.Event().wait(0.05):
            return

def post_fork(server, worker):
    threading.Thread(target=send, daemon=True).start()

def post_worker_init(worker):
    inner = worker.wsgi
    def wrapped(environ, start_response):
        environ["agent.seen"] = True
        return inner(environ, start_response)
    worker.wsgi = wrapped
""")
    app = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"%d" % environ["agent.seen"]]
"""
    server = serve(app, "-k", worker_class)
    assert server.get().body == b"1"
    count = server.log.count("agent: alive")
    poll(lambda: server.log.count("agent: alive") > count, "the agent's thread runs while idle")
    assert server.stop() == 0
