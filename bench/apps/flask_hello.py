# SPDX-License-Identifier: MIT
"""The same answer through Flask."""

from __future__ import annotations

from flask import Flask

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello, World!"
