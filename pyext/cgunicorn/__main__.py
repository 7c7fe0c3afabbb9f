# SPDX-License-Identifier: MIT
"""`python -m cgunicorn` is the same as the command `cgunicorn`."""

import sys

from cgunicorn.cli import main

if __name__ == "__main__":
    sys.exit(main())
