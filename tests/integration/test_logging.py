# SPDX-License-Identifier: MIT
"""The error log and Python's loggers: who writes what, where, in which form."""

from __future__ import annotations

import re
from collections.abc import Callable

from harness import Server

Serve = Callable[..., Server]

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\]"

HELLO = """
import logging
def app(environ, start_response):
    logging.getLogger("gunicorn.error").warning("from %s", environ["PATH_INFO"])
    logging.getLogger("gunicorn.error").debug("not at this level")
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def test_gunicorn_error_writes_lines_like_the_servers(serve: Serve, worker_class: str) -> None:
    server = serve(HELLO, "-k", worker_class, "--error-logfile", "error.log", wait=False)
    log = server.directory / "error.log"
    server.wait_listening_in(log)
    server.get("/a")
    assert re.search(rf"^{STAMP} \[WARNING\] from /a$", log.read_text(), re.M)
    assert "not at this level" not in log.read_text()
    assert server.log == ""


def test_flask_style_borrowing_of_handlers_works(serve: Serve) -> None:
    """The recipe of Flask's users: app.logger.handlers = gunicorn_logger.handlers."""
    server = serve("""
import logging
error_log = logging.getLogger("gunicorn.error")
mine = logging.getLogger("mine")
mine.handlers = error_log.handlers
mine.setLevel(error_log.level)
def app(environ, start_response):
    mine.info("borrowed")
    start_response("204 No Content", [])
    return []
""")
    server.get()
    server.wait_log(rf"(?m)^{STAMP} \[INFO\] borrowed$")
