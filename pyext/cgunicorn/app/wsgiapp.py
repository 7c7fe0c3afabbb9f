# SPDX-License-Identifier: MIT
"""The command as a class, with the names of gunicorn.app.wsgiapp."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from cgunicorn import cli
from cgunicorn.app.base import Application
from cgunicorn.app_loader import load_configured
from cgunicorn.config import Invocation


class WSGIApplication(Application):
    """Loads the application that the command line or the configuration names, or app_uri where a
    derived class says that itself."""

    app_uri: str | None = None

    def load(self) -> Any:
        return load_configured(self.cfg)

    def _invoke(self) -> Invocation:
        found = super()._invoke()
        return found._replace(app_spec=self.app_uri or found.app_spec)


def run(prog: str | None = None) -> NoReturn:
    """What the command `cgunicorn` does."""
    sys.exit(cli.main())


if __name__ == "__main__":
    run()
