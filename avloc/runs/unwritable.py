"""Explains in one sentence why something cannot be written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The system's own words; Orbax quotes them inside its messages.
_KNOWN = "No space left on device|Disk quota exceeded|File too large|Read-only file system"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns any error of writing a run into one sentence.

    Args:
      path: the target.

    Raises:
      ValueError: it was not written.
    """
    try:
        yield
    except Exception as error:  # Orbax has no single error for this
        raise ValueError(
            f"{path} cannot be written ({reason(error)}): fix that and run the same command "
            "again; it continues from the last checkpoint, which is kept"
        ) from error


def reason(error: BaseException) -> str:
    """The system's message, if it is among the error's causes; else the error's first line."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror.lower()
        if known := re.search(_KNOWN, str(link)):
            return known[0].lower()
        link = link.__cause__ or link.__context__
    return str(error).strip().split("\n")[0][:200]
