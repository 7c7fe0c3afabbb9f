# SPDX-License-Identifier: MIT
"""nginx in front of a server of ours, the files of examples/deploy, and the application that the
tests put behind them."""

from __future__ import annotations

import json
from pathlib import Path

from harness import Response, Server
from nginx import Nginx

EXAMPLES = Path(__file__).parents[2] / "examples"
DEPLOY = EXAMPLES / "deploy"

FLASK = (Path(__file__).parent / "flask_site.py").read_text()


def example(path: str, *replaced: tuple[str, object]) -> str:
    """A file of examples/deploy with paths and the like replaced; each must be there."""
    text = (DEPLOY / path).read_text()
    for old, new in replaced:
        assert old in text, f"{path} does not say {old}"
        text = text.replace(old, str(new))
    return text


class Site:
    """nginx in front of the application."""

    def __init__(self, nginx: Nginx, server: Server) -> None:
        self.nginx = nginx
        self.server = server

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Response:
        with self.nginx.connect() as client:
            client.send_request(method, target, *fields, body=body)
            return client.response(method)

    def environ(self, target: str = "/environ", *fields: str) -> dict:
        return json.loads(self.ask("GET", target, *fields).body)["environ"]
