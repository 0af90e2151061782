"""Gives damaged files to avloc's commands, and counts what comes of them: see `--help`."""

import sys
from pathlib import Path


def main() -> int:
    """`scripts.fuzzing.command`, found from the repository's root."""
    # Not from this folder, whose coverage.py is not the library of that name.
    sys.path[0] = str(Path(__file__).parents[1])
    from scripts.fuzzing import command

    return command.main()


if __name__ == "__main__":
    sys.exit(main())
