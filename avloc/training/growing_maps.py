"""A file of maps that is written in pieces, and is complete or not there at all.

`maps.part` grows at its end; `done.json` says how many of its maps are surely on disk. It is
written behind them, so that a process that is killed, or a machine without power, leaves a
beginning that the next one goes on from. The complete file is renamed to `maps.npy`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from avloc.json_files import parse_json
from avloc.runs.folder import write_atomically

MAPS = "maps.npy"

_SPARE = 2**30  # bytes of the disk that stay free
_EVERY = 20.0  # seconds between two notes of what is done
_LARGEST = 6e4  # of float16, nearly


class GrowingMaps:
    """Maps of `[items, views, h, w, C]` in float16, of which the first `done` are written.

    One process at a time may have it open.

    Args:
      folder: of the file.
      shape: of the complete one.

    Raises:
      ValueError: the disk is too small for it.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...]):
        self._folder, self._part, self._told = folder, folder / "maps.part", folder / "done.json"
        self._each = 2 * int(np.prod(shape[2:]))
        self._header = _header(shape)
        self.total = shape[0] * shape[1]
        self.done = self._earlier()
        missing = (self.total - self.done) * self._each
        if shutil.disk_usage(folder).free < missing + _SPARE:
            raise ValueError(self._full(f"has no room for {missing / 2**30:.1f} GiB of features"))
        self._file = self._opened()
        self._noted = time.monotonic()

    def append(self, maps: Float[np.ndarray, "n h w C"]) -> None:
        """Writes the next ones.

        Raises:
          ValueError: they could not be written.
        """
        small = np.clip(np.asarray(maps, np.float32), -_LARGEST, _LARGEST).astype("<f2")
        with self._writing():
            left = memoryview(small.tobytes())
            while left:
                left = left[self._file.write(left) :]
        self.done += len(small)
        if time.monotonic() - self._noted > _EVERY:
            self.note()

    def note(self) -> None:
        """Brings to disk what was written, and then the number of it; raises as `append`."""
        with self._writing():
            os.fsync(self._file.fileno())
            write_atomically(self._told, json.dumps({"done": self.done}) + "\n")
        self._noted = time.monotonic()

    def finish(self) -> None:
        """Gives the complete file its name; raises as `append`."""
        with self._writing():
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._folder / MAPS)
            self._told.unlink(missing_ok=True)

    def close(self) -> None:
        """Leaves the file as it is."""
        self._file.close()

    def _earlier(self) -> int:
        """How many maps an earlier process surely wrote of this file."""
        try:
            done = parse_json(self._told.read_text())["done"]
            with self._part.open("rb") as file:
                same = file.read(len(self._header)) == self._header
                held = file.seek(0, os.SEEK_END) - len(self._header)
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        known = same and isinstance(done, int) and 0 <= done <= min(self.total, held // self._each)
        return done if known else 0

    def _opened(self) -> io.FileIO:
        with self._writing():
            if not self.done:
                self._told.unlink(missing_ok=True)  # before the file that it tells of is another
                file = self._part.open("wb", buffering=0)
                file.write(self._header)
                return file
            file = self._part.open("r+b", buffering=0)
            file.truncate(len(self._header) + self.done * self._each)
            file.seek(0, os.SEEK_END)
            return file

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValueError(self._full(f"takes no more features ({error.strerror})")) from None

    def _full(self, words: str) -> str:
        return (
            f"{self._folder} {words}: lower --config.stored_views, or set it to 0 to compute them "
            "in every step"
        )


def _header(shape: tuple[int, ...]) -> bytes:
    made = io.BytesIO()
    about = {"descr": "<f2", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(made, about)
    return made.getvalue()
