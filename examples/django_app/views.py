# SPDX-License-Identifier: MIT
"""A page with a form, an upload, and a response that is made while it is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST


class GreetingForm(forms.Form):
    name = forms.CharField(max_length=100, label="Your name")


class UploadForm(forms.Form):
    title = forms.CharField(max_length=100, required=False)
    file = forms.FileField()


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    form = GreetingForm(request.POST or None)
    name = form.cleaned_data["name"] if form.is_valid() else ""
    context = {"form": form, "upload_form": UploadForm(), "name": name, "pid": os.getpid()}
    return render(request, "index.html", context)


# Exempt, so that `curl -F file=@README.md http://127.0.0.1:8000/upload` works without a token. A
# view that keeps what it gets, or acts for the visitor, must not be.
@csrf_exempt
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return JsonResponse({"errors": form.errors}, status=400)
    file = form.cleaned_data["file"]
    return JsonResponse({"title": form.cleaned_data["title"], "name": file.name, "size": file.size})


@require_GET
def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for i in range(1, 6):
            yield f"line {i} of 5\n"
            time.sleep(0.2)

    return StreamingHttpResponse(lines(), content_type="text/plain; charset=utf-8")
