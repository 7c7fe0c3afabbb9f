# SPDX-License-Identifier: MIT
"""Which view answers which path."""

from __future__ import annotations

import views
from django.urls import path

urlpatterns = [
    path("", views.index, name="index"),
    path("upload", views.upload, name="upload"),
    path("stream", views.stream, name="stream"),
]
