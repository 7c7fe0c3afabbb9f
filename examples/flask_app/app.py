# SPDX-License-Identifier: MIT
"""A Flask application with what a site is made of: pages, a form, an upload, JSON, a stream.

Nothing in it knows about the server: it runs under any WSGI server, and under `flask run`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from flask import Flask, Response, abort, jsonify, render_template, request

#: The longest nap that /slow takes.
MAX_SECONDS = 30.0

app = Flask(__name__)
# Larger request bodies are answered 413 by Flask before anything is read into memory.
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024 * 1024


@app.get("/")
def index() -> str:
    return render_template("index.html", pid=os.getpid())


@app.post("/form")
def form() -> str:
    # Jinja escapes what the visitor typed.
    return render_template("greeting.html", name=request.form.get("name", "").strip())


@app.post("/upload")
def upload() -> Response:
    file = request.files.get("file")
    if file is None:
        abort(400, "the form has no field named file")
    # The size without reading the file: it may lie on disk.
    size = file.stream.seek(0, os.SEEK_END)
    return jsonify(name=file.filename, type=file.mimetype, size=size)


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for i in range(1, 6):
            yield f"line {i} of 5\n"
            time.sleep(0.2)

    return Response(lines(), mimetype="text/plain")


@app.get("/slow")
def slow() -> str:
    seconds = request.args.get("seconds", default=1.0, type=float)
    # Put this way round, the condition refuses nan too.
    if not 0 <= seconds <= MAX_SECONDS:
        abort(400, f"seconds must be between 0 and {MAX_SECONDS:g}")
    time.sleep(seconds)
    return f"process {os.getpid()} slept for {seconds:g} s\n"


@app.route("/json", methods=["GET", "POST"])
def json() -> Response:
    if request.method == "POST":
        return jsonify(received=request.get_json())
    return jsonify(pid=os.getpid(), time=time.time(), url=request.url)
