# SPDX-License-Identifier: MIT
"""Serves an application with a rival that is a function call, not a command:

python serve_inline.py {fastwsgi|bjoern|meinheld} MODULE:NAME PORT
"""

from __future__ import annotations

import importlib
import sys

sys.path.insert(0, "")


def serve(server: str, spec: str, port: int) -> None:
    """Never returns; the rivals end by a signal."""
    module_name, _, name = spec.partition(":")
    app = getattr(importlib.import_module(module_name), name)
    module = importlib.import_module(server)
    if server == "bjoern":
        module.run(app, "127.0.0.1", port)
    elif server == "fastwsgi":
        module.run(wsgi_app=app, host="127.0.0.1", port=port, loglevel=0)
    else:
        module.set_access_logger(None)
        module.listen(("127.0.0.1", port))
        module.run(app)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
