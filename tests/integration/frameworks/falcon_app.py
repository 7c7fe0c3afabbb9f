# SPDX-License-Identifier: MIT
"""The site in Falcon."""

from __future__ import annotations

import falcon
from falcon import Request, Response
from shared import DATA, FILES, digest, lines


class Index:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.text = "hello"

    on_head = on_get


class Form:
    def on_post(self, req: Request, resp: Response) -> None:
        form = req.get_media()
        tag = form["tag"]
        resp.media = {"name": form["name"], "tag": tag if isinstance(tag, list) else [tag]}


class Upload:
    def on_post(self, req: Request, resp: Response) -> None:
        answer = {}
        for part in req.get_media():
            if part.name == "title":
                answer["title"] = part.text
            else:
                answer.update(name=part.filename, type=part.content_type, **digest(part.stream))
        resp.media = answer


class Raw:
    def on_post(self, req: Request, resp: Response) -> None:
        resp.media = digest(req.stream)


class Stream:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = lines()


class Cookies:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.media = req.cookies
        resp.set_cookie("first", "1", http_only=True, secure=False)
        resp.set_cookie("second", "zwei", path="/cookies", secure=False)


class Path:
    def on_get(self, req: Request, resp: Response, text: str) -> None:
        resp.media = {"path": text, "q": req.get_param("q"), "url": req.url}


class Redirect:
    def on_get(self, req: Request, resp: Response) -> None:
        raise falcon.HTTPFound("/")


class Whole:
    """A file as resp.stream, which Falcon hands to wsgi.file_wrapper."""

    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_JS
        resp.set_stream(DATA.open("rb"), DATA.stat().st_size)

    on_head = on_get


class Error:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.text = str(1 / 0)


application = falcon.App()
application.add_route("/", Index())
application.add_route("/form", Form())
application.add_route("/upload", Upload())
application.add_route("/raw", Raw())
application.add_route("/stream", Stream())
application.add_route("/cookies", Cookies())
application.add_route("/path/{text}", Path())
application.add_route("/redirect", Redirect())
application.add_route("/file", Whole())
application.add_route("/error", Error())
application.add_static_route("/static", FILES)
