# SPDX-License-Identifier: MIT
"""The servers that are compared: one row each, with a command for every way of serving that it has.
A server that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

INLINE = Path(__file__).resolve().parent / "serve_inline.py"

#: The ways of serving. CLOSE: a connection per request, as behind a proxy that speaks HTTP/1.0.
#: KEEP: keep-alive connections, the application on one thread. THREADS: the same on four.
CLOSE, KEEP, THREADS = "close", "keep", "threads"


@dataclass(frozen=True)
class Peer:
    """A server: its name, the module that shows that it is installed, and by way of serving the
    command line, with {python} {app} {module} {port} {bind} {workers} filled in."""

    name: str
    module: str
    commands: dict[str, str]

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    def argv(self, way: str, app: str, port: int, workers: int) -> list[str]:
        """The command line that serves bench/apps/<module>:app on a TCP port."""
        values = {
            "python": sys.executable,
            "scripts": str(Path(sys.executable).parent),
            "inline": str(INLINE),
            "app": app,
            "module": app.partition(":")[0],
            "port": str(port),
            "bind": f"127.0.0.1:{port}",
            "workers": str(workers),
        }
        return [part.format(**values) for part in self.commands[way].split()]


def _python(module: str, arguments: str) -> str:
    return f"{{python}} -m {module} {arguments}"


_OURS = "{app} -b {bind} -w {workers}"
_WAITRESS = "{scripts}/waitress-serve --listen={bind}"
_UWSGI = "{scripts}/uwsgi --http11-socket={bind} --module={module} --callable=app --master"
_UWSGI += " --processes={workers} --disable-logging --need-app --die-on-term"
_GRANIAN = "{scripts}/granian --interface=wsgi --host=127.0.0.1 --port={port} --workers={workers}"
_GRANIAN += " --no-log --backpressure=1024 {app}"

PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "cgunicorn",
            "cgunicorn",
            {
                CLOSE: _python("cgunicorn", _OURS),
                KEEP: _python("cgunicorn", f"{_OURS} -k async"),
                THREADS: _python("cgunicorn", f"{_OURS} -k async --threads 4"),
            },
        ),
        Peer(
            "gunicorn",
            "gunicorn",
            {
                CLOSE: _python("gunicorn", _OURS),
                KEEP: _python("gunicorn", f"{_OURS} -k gthread --keep-alive 75"),
                THREADS: _python("gunicorn", f"{_OURS} -k gthread --threads 4 --keep-alive 75"),
            },
        ),
        Peer(
            "gevent",
            "gevent",
            {
                way: _python("gunicorn", f"{_OURS} -k gevent --keep-alive 75")
                for way in (CLOSE, KEEP, THREADS)
            },
        ),
        *(
            Peer(
                name,
                name,
                dict.fromkeys((CLOSE, KEEP), f"{{python}} {{inline}} {name} {{app}} {{port}}"),
            )
            for name in ("fastwsgi", "bjoern", "meinheld")
        ),
        Peer(
            "granian",
            "granian",
            {
                CLOSE: f"{_GRANIAN} --blocking-threads=1",
                KEEP: f"{_GRANIAN} --blocking-threads=1",
                THREADS: f"{_GRANIAN} --blocking-threads=4",
            },
        ),
        Peer(
            "uwsgi",
            "uwsgidecorators",
            {
                CLOSE: _UWSGI.replace("http11", "http"),
                KEEP: _UWSGI,
                THREADS: f"{_UWSGI} --threads=4",
            },
        ),
        Peer(
            "waitress",
            "waitress",
            {
                CLOSE: f"{_WAITRESS} --threads=1 {{app}}",
                KEEP: f"{_WAITRESS} --threads=1 {{app}}",
                THREADS: f"{_WAITRESS} --threads=4 {{app}}",
            },
        ),
    )
}
