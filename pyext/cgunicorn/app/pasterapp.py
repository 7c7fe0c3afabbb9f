# SPDX-License-Identifier: MIT
"""The server that `use = egg:cgunicorn#main` names in a PasteDeploy file: what `pserve` runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from cgunicorn import cli
from cgunicorn.config import NOTHING, Invocation, Program
from cgunicorn.paste import layer_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def serve(app: WSGIApplication, global_conf: dict[str, str], **section: str) -> NoReturn:
    """Serves an application that is loaded already. `config` names a config file, everything else
    is a setting, weaker than that file; no command line is looked at, since it is pserve's."""
    path = global_conf["__file__"]
    config = section.pop("config", None)

    def invoke() -> Invocation:
        layers = layer_of(path, section), NOTHING
        program = Program(path, lambda: layers, lambda _: app)
        started = cli.invocation(["--config", config] if config else [])
        return started._replace(program=program)

    sys.exit(cli.run(invoke))
