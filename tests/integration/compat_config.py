# SPDX-License-Identifier: MIT
"""Scenarios that end before anything is served: settings, their sources, mistakes."""

from __future__ import annotations

import re

from compat import APP, Findings, Subject, write_files

#: A default of Gunicorn's hooks, which does nothing.
NO_HOOK = re.compile(r"<\w+\.\w+\(\)>")
#: How a traceback tells what is wrong with the text that names the application.
APP_ERROR = re.compile(r"^(?:gunicorn\.errors\.AppImportError|ImportError): ")

#: Command lines whose effect is looked at with --print-config: name -> (arguments, environment,
#: settings to look at).
SOURCES: dict[str, tuple[str, dict[str, str], str]] = {
    "file found in the folder": ("", {}, "workers"),
    "file named": ("-c other.py", {}, "workers proc_name"),
    "file: form": ("-c file:other.py", {}, "workers"),
    "python: form": ("-c python:other", {}, "workers"),
    "file without extension": ("-c plain", {}, "workers"),
    "unknown names in the file": ("-c unknown.py", {}, "workers"),
    "hooks in the file": ("-c hooks.py", {}, "pre_fork on_exit"),
    "arguments beat file": ("-w 7", {}, "workers"),
    "variable beats file": ("", {"GUNICORN_CMD_ARGS": "-w 5"}, "workers"),
    "arguments beat variable": ("-w 7", {"GUNICORN_CMD_ARGS": "-w 5 -t 9"}, "workers timeout"),
    "file named in variable": ("", {"GUNICORN_CMD_ARGS": "-c other.py"}, "workers"),
    "file named twice": ("-c other.py", {"GUNICORN_CMD_ARGS": "-c plain"}, "workers"),
    "application in variable": ("", {"GUNICORN_CMD_ARGS": "nowhere:app"}, "workers"),
    "WEB_CONCURRENCY": ("-c empty.py", {"WEB_CONCURRENCY": "6"}, "workers"),
    "PORT": ("-c empty.py", {"PORT": "1234"}, "bind"),
    "FORWARDED_ALLOW_IPS": ("", {"FORWARDED_ALLOW_IPS": "10.0.0.1"}, "forwarded_allow_ips"),
    "chdir": ("--chdir inner -c other.py", {}, "workers chdir"),
    "abbreviations": ("--work 4 --keep=3 -b:81 -b [::1]", {}, "workers keepalive bind"),
    "values": (
        "-m 0022 --preload --no-sendfile -R --proxy-protocol -e A=1=2 -e B=",
        {},
        "umask preload_app sendfile enable_stdio_inheritance proxy_protocol raw_env",
    ),
    "log settings": (
        "--access-logfile - --log-level WARNING --log-syslog-to udp://h:1",
        {},
        "accesslog loglevel syslog_addr errorlog",
    ),
    "sync with threads": ("--threads 4", {}, "worker_class threads"),
}

#: What goes wrong on the way to a server: name -> (arguments, environment).
MISTAKES: dict[str, tuple[str, dict[str, str]]] = {
    "port": ("-b a:zz app:app", {}),
    "negative": ("-w -1 app:app", {}),
    "unknown flag": ("--nope app:app", {}),
    "chdir": ("--chdir nowhere app:app", {}),
    "user": ("-u nobody-of-this-name app:app", {}),
    "reload engine": ("--reload-engine mine app:app", {}),
    "extra file": ("--reload-extra-file nowhere app:app", {}),
    "worker class": ("-k nowhere.Worker app:app", {}),
    "logger class": ("--logger-class nowhere.Logger app:app", {}),
    "log level": ("--log-level loud --check-config app:app", {}),
    "log file": ("--log-file nowhere/x app:app", {}),
    "log config": ("--log-config nowhere.ini app:app", {}),
    "environment entry": ("-e A app:app", {}),
    "config file missing": ("-c nowhere.py app:app", {}),
    "config file raises": ("-c raises.py app:app", {}),
    "config file with wrong value": ("-c wrong.py app:app", {}),
    "hook with wrong arity": ("-c arity.py app:app", {}),
    "hook that cannot be called": ("-c no_hook.py app:app", {}),
    "pidfile in no folder": ("-p nowhere/x.pid app:app", {}),
    "pidfile of a living process": ("-p alive.pid app:app", {}),
    "allowed address": ("--forwarded-allow-ips 10.0.0.1/8 app:app", {}),
    "WEB_CONCURRENCY": ("app:app", {"WEB_CONCURRENCY": "many"}),
    "certificate missing": ("--certfile nowhere.pem app:app", {}),
}

#: The text that names the application.
SPECS = (
    "app:app",
    "app",
    "forms",
    "forms:make()",
    "forms:make(1, x=2)",
    "forms:holder.app",
    'forms:table["app"]',
    "forms:make(x)",
    "forms:one()",
    "forms:one(0)",
    "forms:nope",
    "forms:nothing()",
    "forms:number",
    "forms:nothing",
    "forms:asgi",
    "forms:",
    "app.py",
    "nowhere:app",
    "imports_nothing:app",
    "divides:app",
    "exits:app",
    "",
)

FORMS = """
async def asgi(scope, receive, send):
    pass

def application(environ, start_response):
    pass

class holder:
    app = application

def make(*args, **kwargs):
    return application

def one(n):
    raise TypeError("of the factory's own")

def nothing():
    return None

number = 3
table = {"app": application}
"""


def printed(subject: Subject, *args: str, **env: str) -> dict[str, str]:
    """What --print-config says, by name; lines of another kind by themselves."""
    lines = subject.run(*args, "--print-config", **env)
    values = {}
    for line in lines:
        name, equals, value = line.partition(" = ")
        values[name.strip()] = NO_HOOK.sub("None", value) if equals else ""
    return values


def print_config(subject: Subject) -> Findings:
    values = printed(subject, "app:app")
    names = [name for name in values if name and not name.startswith("exit")]
    return {
        "order": ["sorted" if names == sorted(names) else "not sorted"],
        **{name: [value] for name, value in values.items()},
    }


def sources(subject: Subject) -> Findings:
    (subject.folder / "inner").mkdir()
    (subject.folder / "plain").write_text("workers = 4\n")
    write_files(
        subject.folder,
        **{"gunicorn.conf": "workers = 2\n"},
        other="import os\nworkers = 3\nproc_name = os.path.basename(__file__)\n",
        unknown="workers = 3\nWorkers = 4\n_workers = 5\nmine = 6\n",
        hooks="def pre_fork(server, worker): pass\nclass A:\n    def on_exit(server): pass\n"
        "on_exit = A.on_exit\n",
        empty="",
    )
    found = {}
    for name, (args, env, settings) in SOURCES.items():
        values = printed(subject, *args.split(), "app:app", **env)
        wanted = [f"{s} = {values.get(s)}" for s in settings.split()]
        found[name] = [*wanted, *(v for v in values if not values[v])]
    return found


def mistakes(subject: Subject) -> Findings:
    write_files(
        subject.folder,
        raises="workers = 1\nraise KeyError('mine')\n",
        wrong="workers = 'many'\n",
        arity="def pre_fork(server): pass\n",
        no_hook="on_exit = 3\n",
    )
    (subject.folder / "alive.pid").write_text("1\n")
    found = {}
    for name, (args, env) in MISTAKES.items():
        bind = [] if "-b" in args else ["-b", "127.0.0.1:0"]
        lines = subject.run(*bind, *args.split(), **env)
        found[name] = [re.sub(r"^\[.*?\] \[\d+\] ", "", line) for line in lines]
    return found


def application(subject: Subject) -> Findings:
    write_files(
        subject.folder,
        forms=FORMS,
        imports_nothing="import nowhere_to_be_found\n",
        divides="1 / 0\n",
        exits="import sys\nsys.exit(7)\n",
    )
    found = {}
    for spec in SPECS:
        lines = subject.run("--check-config", *([spec] if spec else []))
        found[spec or "(none)"] = [APP_ERROR.sub("Error: ", line) for line in lines]
    return found


def command(subject: Subject) -> Findings:
    (subject.folder / "lib").mkdir()
    (subject.folder / "lib/far.py").write_text(APP)
    write_files(subject.folder, needs="import os\nos.environ['A']\n" + APP)
    return {
        "version": subject.run("--version"),
        "check": subject.run("--check-config", "app:app"),
        "check with pythonpath": subject.run("--check-config", "--pythonpath", "lib", "far:app"),
        "check with environment": subject.run("--check-config", "-e", "A=1", "needs:app"),
    }
