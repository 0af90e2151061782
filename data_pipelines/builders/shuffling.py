"""TFDS's shuffle of splits that are too large for memory, without TensorFlow.

TFDS writes the records of a split in order of a hash of their keys. Beyond a limit it sorts them
through files that it opens with TensorFlow's functions; this uses the standard library instead.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import SimpleNamespace

from tensorflow_datasets.core import shuffle

MEMORY = 256 << 20
"""Bytes of records held in memory."""

FILES = 256
"""Files that records are sorted through. All are open at once and one is read at a time, so a
split of 50 GB needs 200 MB of memory."""


class _Never(Exception):
    """Replaces an error that only TensorFlow raises."""


_STANDARD = SimpleNamespace(
    io=SimpleNamespace(
        gfile=SimpleNamespace(GFile=open, exists=os.path.exists, remove=os.remove),
    ),
    errors=SimpleNamespace(ResourceExhaustedError=_Never),
)


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Builders that write inside this block need neither TensorFlow nor much memory."""
    ours = {"tf": _STANDARD, "MAX_MEM_BUFFER_SIZE": MEMORY, "BUCKETS_NUMBER": FILES}
    theirs = {name: getattr(shuffle, name) for name in ours}
    try:
        vars(shuffle).update(ours)
        yield
    finally:
        vars(shuffle).update(theirs)
