# SPDX-License-Identifier: MIT
"""The site in Bottle."""

from __future__ import annotations

from bottle import Bottle, HTTPResponse, redirect, request, response, static_file
from shared import DATA, digest, lines

application = Bottle()


@application.get("/")
def index() -> str:
    return "hello"


@application.post("/form")
def form() -> dict:
    return {"name": request.forms.getunicode("name"), "tag": request.forms.getall("tag")}


@application.post("/upload")
def upload() -> dict:
    file = request.files["file"]
    about = {"title": request.forms.getunicode("title"), "name": file.raw_filename}
    return {**about, "type": file.content_type, **digest(file.file)}


@application.post("/raw")
def raw() -> dict:
    # request.body would take the chunks apart itself, which the server has done.
    return digest(request.environ["wsgi.input"])


@application.get("/stream")
def stream():
    response.content_type = "text/plain"
    return lines()


@application.get("/cookies")
def cookies() -> dict:
    response.set_cookie("first", "1", httponly=True)
    response.set_cookie("second", "zwei", path="/cookies")
    return dict(request.cookies)


@application.get("/path/<text>")
def path(text: str) -> dict:
    return {"path": text, "q": request.query.getunicode("q"), "url": request.url}


@application.get("/redirect")
def to_index() -> None:
    redirect("/", 302)


@application.get("/file")
def file() -> HTTPResponse:
    return static_file(DATA.name, root=DATA.parent)


@application.get("/error")
def error() -> str:
    return str(1 / 0)
