# SPDX-License-Identifier: MIT
"""The classes by which Python programs run the server themselves, named as Gunicorn's."""
