# SPDX-License-Identifier: MIT
"""The site in Django, settings included."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.http import require_POST
from django.views.static import serve
from shared import DATA, digest, lines

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["test.example"],
    SECRET_KEY="for tests only",
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {"stderr": {"class": "logging.StreamHandler"}},
        "root": {"handlers": ["stderr"]},
    },
)
django.setup()


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello")


@require_POST
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"name": request.POST["name"], "tag": request.POST.getlist("tag")})


@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    about = {"title": request.POST["title"], "name": file.name, "type": file.content_type}
    return JsonResponse({**about, **digest(file)})


@require_POST
def raw(request: HttpRequest) -> HttpResponse:
    # request.read() stops at Content-Length, which Django takes for 0 where there is none.
    return JsonResponse(digest(request.environ["wsgi.input"]))


def stream(request: HttpRequest) -> HttpResponse:
    return StreamingHttpResponse(lines(), content_type="text/plain")


def cookies(request: HttpRequest) -> HttpResponse:
    response = JsonResponse(request.COOKIES)
    response.set_cookie("first", "1", httponly=True)
    response.set_cookie("second", "zwei", path="/cookies")
    return response


def show_path(request: HttpRequest, text: str) -> HttpResponse:
    return JsonResponse({"path": text, "q": request.GET["q"], "url": request.build_absolute_uri()})


def to_index(request: HttpRequest) -> HttpResponse:
    return redirect("/")


def file(request: HttpRequest) -> HttpResponse:
    return serve(request, DATA.name, document_root=DATA.parent)  # a FileResponse


def error(request: HttpRequest) -> HttpResponse:
    return HttpResponse(1 / 0)


urlpatterns = [
    path("", index),
    path("form", form),
    path("upload", upload),
    path("raw", raw),
    path("stream", stream),
    path("cookies", cookies),
    path("path/<text>", show_path),
    path("redirect", to_index),
    path("file", file),
    path("error", error),
]

application = get_wsgi_application()
