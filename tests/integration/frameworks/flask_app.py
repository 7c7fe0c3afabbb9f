# SPDX-License-Identifier: MIT
"""The site in Flask."""

from __future__ import annotations

from flask import Flask, Response, jsonify, make_response, redirect, request, send_file
from shared import DATA, digest, lines

application = Flask(__name__)


@application.get("/")
def index() -> str:
    return "hello"


@application.post("/form")
def form() -> Response:
    return jsonify(name=request.form["name"], tag=request.form.getlist("tag"))


@application.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    return jsonify(
        title=request.form["title"], name=file.filename, type=file.mimetype, **digest(file.stream)
    )


@application.post("/raw")
def raw() -> Response:
    return jsonify(digest(request.stream))


@application.get("/stream")
def stream() -> Response:
    return Response(lines(), mimetype="text/plain")


@application.get("/cookies")
def cookies() -> Response:
    response = make_response(jsonify(request.cookies))
    response.set_cookie("first", "1", httponly=True)
    response.set_cookie("second", "zwei", path="/cookies")
    return response


@application.get("/path/<text>")
def path(text: str) -> Response:
    return jsonify(path=text, q=request.args["q"], url=request.url)


@application.get("/redirect")
def to_index() -> Response:
    return redirect("/")


@application.get("/file")
def file() -> Response:
    return send_file(DATA, conditional=True)


@application.get("/error")
def error() -> str:
    return str(1 / 0)
