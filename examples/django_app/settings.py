# SPDX-License-Identifier: MIT
"""Settings of a Django project without a database. What differs from place to place comes from the
environment:

DJANGO_SECRET_KEY     signs cookies and tokens; must be set where visitors log in
DJANGO_ALLOWED_HOSTS  host names that the site answers to, separated by commas
DJANGO_DEBUG          1 shows tracebacks to visitors
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent

# A key made here lasts as long as its process, and each worker makes its own. That is enough for
# pages without sessions, and unlike a key in the source it cannot leak.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "*").split(",")
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"

ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]

USE_TZ = True
