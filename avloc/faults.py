"""What is said of an error that ends a command: one sentence that names a place and a fix."""

from __future__ import annotations

import argparse
import errno
import linecache
import re
import traceback
from pathlib import Path

_ISSUES = "https://github.com/avloc/avloc/issues"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FIXES = {
    **dict.fromkeys(_FULL, "free space there, or name another folder"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "allow it, or name another place"),
    errno.EROFS: "name a place that can be written",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
}


def of_system(error: OSError, args: argparse.Namespace) -> str:
    """A sentence about what the system refused.

    Args:
      error: its words.
      args: of the command: where it writes, if the system does not say.
    """
    why = error.strerror.lower() if error.strerror else str(error)
    place = _target(error.filename) if error.filename else ""
    if not place and error.errno in _FULL:
        folders = (getattr(args, name, None) for name in ("out", "workdir", "data_dir"))
        place = " or ".join(dict.fromkeys(map(str, filter(None, folders)))) or str(Path.cwd())
    fix = _FIXES.get(error.errno)
    return f"{place}{': ' if place else ''}{why}{f'; {fix}' if fix else ''}"


def of_value(error: ValueError) -> str:
    """The sentence that avloc raised; of an error of Python's or a library's, also its place."""
    where, ours = _raised(error)
    told = str(error).strip() or type(error).__name__
    return told if ours else f"{told} ({where}; --debug shows more)"


def unforeseen(error: Exception) -> str:
    """A sentence about a fault that is probably avloc's, and what to do with it."""
    if isinstance(error, MemoryError):
        return (
            f"there is not enough memory ({_raised(error)[0]}): lower --config.batch_size, or "
            "close other programs; --debug shows more"
        )
    lines = str(error).strip().splitlines()
    told = f"{type(error).__name__}{f': {lines[0][:300]}' if lines else ''}"
    return (
        f"{told} ({_raised(error)[0]}): avloc did not foresee this; the same command with --debug "
        f"shows where it came from, for a report at {_ISSUES}"
    )


def _raised(error: Exception) -> tuple[str, bool]:
    """The last place in avloc that an error came through, and whether avloc itself raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "no place is known", True
    roots = [Path(__file__).parent, Path(__file__).parents[1] / "data_pipelines"]
    roots.append(roots[1].with_name("configs"))

    def inside(frame: traceback.FrameSummary) -> bool:
        return any(Path(frame.filename).is_relative_to(root) for root in roots)

    last = frames[-1]
    line = linecache.getline(last.filename, last.lineno or 0).strip()
    place = next(filter(inside, reversed(frames)), last)
    return f"{Path(place.filename).name}, line {place.lineno}", inside(last) and "raise" in line


def _target(path: str | bytes | int) -> str:
    """The file that is meant by one that is being written beside it, under a name of its own."""
    if not isinstance(path, str | bytes):
        return ""
    file = Path(path.decode(errors="replace") if isinstance(path, bytes) else path)
    meant = re.sub(r"(\.\d+)?\.part$", "", file.name)
    if meant == file.name:
        meant = re.sub(r"^(\..+)\.\d+$", r"\1", file.name)
    if meant != file.name:
        meant = meant.removeprefix(".")
    return str(file.with_name(meant)) if meant else str(file)
