# SPDX-License-Identifier: MIT
"""uWSGI's configuration files and command lines: read (ini), looked up (options), turned into
settings (mapping). The uwsgi protocol is not here but in server/uwsgi."""
