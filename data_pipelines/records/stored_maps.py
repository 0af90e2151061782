"""Maps of a frozen visual backbone on disk, read item by item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float


class StoredMaps:
    """Some views of each item: a `.npy` of `[items, views, h, w, C]` float16, memory-mapped.

    Args:
      file: a complete one.

    Raises:
      OSError: there is none.
      ValueError: it is cut off, or holds something else.
    """

    def __init__(self, file: Path):
        self.file = file
        self._maps = np.load(file, mmap_mode="r", allow_pickle=False)
        if self._maps.ndim != 5 or self._maps.dtype != np.float16:
            raise ValueError(f"{file} holds no maps")

    def __len__(self) -> int:
        return len(self._maps)

    @property
    def views(self) -> int:
        """Of each item."""
        return self._maps.shape[1]

    def map(self, item: int, view: int) -> Float[np.ndarray, "h w C"]:
        """One map, in memory."""
        return np.array(self._maps[item, view])

    # A worker process opens the file itself: a pickled memory map is a copy of all of it.
    def __getstate__(self) -> Path:
        return self.file

    def __setstate__(self, file: Any) -> None:
        self.__init__(file)
