# PYTHON_ARGCOMPLETE_OK
"""The command line: `avloc VERB ...`, see `avloc --help`.

The verbs are in `avloc.verbs`, the only room that knows every other one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from avloc import faults
from avloc.command_line import make_parser, split_off_fields
from avloc.verbs import VERBS

OK, BAD_INPUT, UNFORESEEN, INTERRUPTED, UNREAD, TERMINATED = 0, 2, 70, 130, 141, 143
"""Exit statuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit status.

    0, 1 where cells of an ablation failed or a split cannot be built, 2 for bad input, 70 for a
    fault that nobody foresaw, 130 after Ctrl-C, 141 where nobody reads what is printed (`| head`),
    143 after SIGTERM. 0 also where SIGTERM took the machine away from a training, which was saved.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()  # else a reader that has gone is met when Python ends
    except BrokenPipeError:
        _print_nowhere()
        return UNREAD
    except OSError as error:  # of standard output alone
        _print_nowhere()
        why = (error.strerror or str(error)).lower()
        return _fail(f"error: what is printed cannot be written: {why}", BAD_INPUT, False)


def _run(words: list[str]) -> int:
    debug = "--debug" in words or os.environ.get("AVLOC_DEBUG", "") not in ("", "0")
    args = argparse.Namespace()
    try:
        arguments, assignments = split_off_fields(words)
        args = _parser().parse_args(arguments)
        if assignments and args.run is not VERBS["train"]:
            raise ValueError("--config.FIELD=VALUE goes with `avloc train` only")
        args.words, args.assignments = words, assignments
        _quiet_libraries()
        from avloc.machine.stopping import terminable

        with terminable():
            return args.run(args) or OK
    except KeyboardInterrupt as stop:
        from avloc.machine.stopping import Terminated

        saved = words[:1] == ["train"]
        ended = OK if saved else TERMINATED
        status = ended if isinstance(stop, Terminated) else INTERRUPTED
        said = str(stop) or "stopped"
        again = (
            "goes on from there"
            if words[:1] in (["train"], ["data"], ["ablate"])
            else "starts again"
        )
        return _fail(f"{said}; the same command {again}", status, debug)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _fail(f"error: {faults.of_system(error, args)}", BAD_INPUT, debug)
    except ValueError as error:
        return _fail(f"error: {faults.of_value(error)}", BAD_INPUT, debug)
    except Exception as error:
        return _fail(f"error: {faults.unforeseen(error)}", UNFORESEEN, debug)


def _fail(sentence: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print("avloc:", " ".join(sentence.split()), file=sys.stderr)
    return status


def _print_nowhere() -> None:
    """Keeps Python from meeting the broken pipe again when it ends."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = make_parser({**VERBS, "--version": _version})
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what may follow, and gets no further
        from avloc.verbs.completion import complete

        complete(parser)
    return parser


def _version() -> str:
    from importlib.metadata import version
    from platform import python_version

    from avloc import __version__

    return f"avloc {__version__} (Python {python_version()}, jax {version('jax')})"


def _quiet_libraries() -> None:
    import logging

    for name in ("libav", "orbax", "jax"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Orbax logs by these what it raises too; files that it gives up reading or writing at the first
    # fault tell of themselves later, to nobody.
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    sys.unraisablehook = _tell_unraisable


def _tell_unraisable(unraisable: Any) -> None:
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)
