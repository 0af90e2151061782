"""Why something cannot be written, in one sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# As the system words them; Orbax hands them on inside messages of its own.
_KNOWN = "No space left on device|Disk quota exceeded|File too large|Read-only file system"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns whatever is raised where a run cannot be written into a sentence.

    Args:
      path: where it writes.

    Raises:
      ValueError: it was not written.
    """
    try:
        yield
    except Exception as error:  # Orbax has no one error for this
        raise ValueError(
            f"{path} cannot be written ({_reason(error)}): mend that, and the same command goes on "
            "from the last checkpoint, which is kept"
        ) from error


def _reason(error: BaseException) -> str:
    """What the system said, if that is among the error's causes; else the error's first line."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror.lower()
        if known := re.search(_KNOWN, str(link)):
            return known[0].lower()
        link = link.__cause__ or link.__context__
    return str(error).strip().split("\n")[0][:200]
