# SPDX-License-Identifier: MIT
"""What the server loads: `cgunicorn wsgi:application`, or `wsgi` for short."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

application = get_wsgi_application()
