# PYTHON_ARGCOMPLETE_OK
"""`python -m avloc`."""

import sys

from avloc.cli import main

if __name__ == "__main__":
    sys.exit(main())
