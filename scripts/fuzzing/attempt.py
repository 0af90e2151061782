"""One input: made from its number, run by the command line, and judged."""

from __future__ import annotations

import contextlib
import io
import os
import re
import resource
import shutil
import time
import traceback
from pathlib import Path
from random import Random
from typing import NamedTuple

from avloc.cli import main
from scripts.fuzzing.kinds import KINDS, kind_of

GOOD = ("accepted", "reported", "refused")
BAD = ("traceback", "over its limit", "no sentence", "wrote outside")

_VAGUE = re.compile(r"\(\S+\.py, line \d+; --debug shows more\)$")
_REPORTED = re.compile(r"skipped|damaged|cannot be used|missing", re.IGNORECASE)


class Verdict(NamedTuple):
    """What came of an input.

    Attributes:
      index: its number.
      kind: of it.
      what: one of `GOOD` or `BAD`.
      seconds: that it took.
      growth: of the process's memory, in bytes, at its highest.
      words: of the command.
      said: the last lines.
    """

    index: int
    kind: str
    what: str
    seconds: float
    growth: int
    words: list[str]
    said: str


def attempt(seed: int, index: int, whole: Path, root: Path) -> Verdict:
    """Makes an input below `root`, runs its command and clears it away.

    Args:
      seed: of all inputs.
      index: of this one.
      whole: the folder of `make_seeds`.
      root: a folder for it, emptied first.
    """
    kind, place = kind_of(index), root / "place"
    shutil.rmtree(root, ignore_errors=True)
    place.mkdir(parents=True)
    words = KINDS[kind](Random(f"{seed} {index}"), whole, place)
    before, begun = _memory(), time.monotonic()
    out, errors = io.StringIO(), io.StringIO()
    home = os.getcwd()
    os.chdir(place)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = main(words)
    except BaseException:
        status = None
        errors.write(traceback.format_exc())
    finally:
        os.chdir(home)
    said = f"{out.getvalue()}\n{errors.getvalue()}"
    what = _judged(status, said, errors.getvalue().splitlines())
    if sorted(path.name for path in root.iterdir()) != ["place"]:
        what = "wrote outside"
    shown = "\n".join((errors.getvalue().strip() or out.getvalue().strip()).splitlines()[-6:])
    seconds, growth = time.monotonic() - begun, max(0, _memory() - before)
    return Verdict(index, kind, what, seconds, growth, words, shown[-1500:])


def _judged(status: int | None, said: str, errors: list[str]) -> str:
    if "there is not enough memory" in said:
        return "over its limit"
    if status not in (0, 1, 2) or "Traceback" in said:
        return "traceback"
    if status == 2:
        told = [line for line in errors if line.startswith("avloc: error: ")]
        return "refused" if len(told) == 1 and not _VAGUE.search(told[0]) else "no sentence"
    return "reported" if status == 1 or _REPORTED.search(said) else "accepted"


def _memory() -> int:
    """The highest that this process's memory ever was, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
