"""``python -m ttscale``: the same as the command ``ttscale``."""

import sys

from ttscale.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
