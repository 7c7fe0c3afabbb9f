# SPDX-License-Identifier: MIT
"""The settings, each declared here and nowhere else: the command line, the environment variables,
--help, --print-config, the validation and docs/settings.md come from these rows.

To add a setting, add a row to the module of its section; when the C side needs it, a line in
server/settings/settings.def too; then `./dev docs`. Names, flags and defaults are Gunicorn's where
Gunicorn has the setting.
"""

from __future__ import annotations

from cgunicorn.settings import absent, hooks, logs, mechanics, process, security, tls
from cgunicorn.settings.row import SECTIONS, VARIABLE_PREFIX, Setting

__all__ = ["SECTIONS", "SETTINGS", "VARIABLE_PREFIX", "Setting"]

_MODULES = (process, security, mechanics, logs, hooks, tls, absent)

#: name -> row, in the order of the tables.
SETTINGS = {row.name: row for module in _MODULES for row in module.ROWS}
