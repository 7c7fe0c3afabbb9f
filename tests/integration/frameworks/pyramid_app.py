# SPDX-License-Identifier: MIT
"""The site in Pyramid."""

from __future__ import annotations

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound
from pyramid.request import Request
from pyramid.response import FileResponse, Response
from pyramid.view import view_config
from shared import DATA, digest, lines


@view_config(route_name="index")
def index(request: Request) -> Response:
    return Response("hello")


@view_config(route_name="form", request_method="POST", renderer="json")
def form(request: Request) -> dict:
    return {"name": request.POST["name"], "tag": request.POST.getall("tag")}


@view_config(route_name="upload", request_method="POST", renderer="json")
def upload(request: Request) -> dict:
    file = request.POST["file"]
    about = {"title": request.POST["title"], "name": file.filename, "type": file.type}
    return {**about, **digest(file.file)}


@view_config(route_name="raw", request_method="POST", renderer="json")
def raw(request: Request) -> dict:
    return digest(request.body_file)


@view_config(route_name="stream")
def stream(request: Request) -> Response:
    return Response(app_iter=lines(), content_type="text/plain")


@view_config(route_name="cookies", renderer="json")
def cookies(request: Request) -> dict:
    request.response.set_cookie("first", "1", httponly=True)
    request.response.set_cookie("second", "zwei", path="/cookies")
    return dict(request.cookies)


@view_config(route_name="path", renderer="json")
def path(request: Request) -> dict:
    return {"path": request.matchdict["text"], "q": request.GET["q"], "url": request.url}


@view_config(route_name="redirect")
def to_index(request: Request) -> Response:
    return HTTPFound("/")


@view_config(route_name="file")
def file(request: Request) -> Response:
    response = FileResponse(DATA, request=request)
    response.conditional_response = True
    return response


@view_config(route_name="error")
def error(request: Request) -> Response:
    return Response(str(1 / 0))


def make_application():
    with Configurator() as config:
        config.add_route("index", "/")
        for name in ("form", "upload", "raw", "stream", "cookies", "redirect", "file", "error"):
            config.add_route(name, f"/{name}")
        config.add_route("path", "/path/{text}")
        config.scan(__name__)
        return config.make_wsgi_app()


application = make_application()
