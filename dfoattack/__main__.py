"""`python -m dfoattack` is the command `dfoattack`."""

from __future__ import annotations

import sys

from dfoattack.cli import main

if __name__ == "__main__":
    sys.exit(main())
