# SPDX-License-Identifier: MIT
"""The Flask application behind nginx. The tests copy it to a folder of its own as app.py; files
there tell it to go on and tell the tests how far it has come."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, jsonify, request

app = Flask(__name__)


def wait_for(name: str) -> None:
    while not Path(name).exists():
        time.sleep(0.01)


@app.route("/environ", methods=["GET", "POST"])
@app.route("/a b\u00e9")
def environ() -> Response:
    seen = {k: v for k, v in request.environ.items() if isinstance(v, (str, bool))}
    return jsonify(environ=seen, url=request.url)


@app.route("/cookies")
def cookies() -> Response:
    return jsonify(dict(request.cookies))


@app.route("/digest", methods=["POST"])
def digest() -> Response:
    data = request.get_data()
    return jsonify(length=len(data), sha=hashlib.sha256(data).hexdigest())


@app.route("/unread", methods=["POST"])
def unread() -> str:
    return "not read"


@app.route("/stream")
def stream() -> Response:
    return Response((f"line {n}\n" for n in range(1000)), mimetype="text/plain")


@app.route("/events")
def events() -> Response:
    """The second event comes when the test has seen the first one."""

    def each() -> Iterator[str]:
        yield "data: first\n\n"
        wait_for("go")
        yield "data: second\n\n"

    fields = {"X-Accel-Buffering": "no"} if "unbuffered" in request.args else {}
    return Response(each(), mimetype="text/event-stream", headers=fields)


@app.route("/endless")
def endless() -> Response:
    def lines() -> Iterator[str]:
        try:
            while True:
                yield "x" * 65536
        finally:
            print("ENDLESS CLOSED")

    return Response(lines(), mimetype="text/plain")


@app.route("/large")
def large() -> Response:
    parts = (b"0123456789abcdef" * (1 << 14) for _ in range(int(request.args.get("quarters", 16))))
    return Response(parts, mimetype="application/octet-stream")


@app.route("/slow")
def slow() -> str:
    time.sleep(0.02)
    return request.args["n"]


@app.route("/hold")
def hold() -> str:
    Path(f"entered-{request.args['n']}").touch()
    wait_for("go")
    return request.args["n"]


@app.route("/print")
def say() -> str:
    print("PRINTED", request.args["text"])
    return "printed"


@app.route("/pid")
def pid() -> str:
    return str(os.getpid())


@app.route("/connection")
def connection() -> str:
    """What tells the connection from all others."""
    return str(os.fstat(request.environ["gunicorn.socket"].fileno()).st_ino)


@app.route("/empty")
def empty() -> tuple[str, int]:
    return "", 204
