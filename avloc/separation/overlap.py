"""Long sounds taken apart window by window, without a click where windows meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Float, Float32

Apart = Callable[[Float32[np.ndarray, "window"], int], Float[np.ndarray, "N window"]]
"""Parts of a window of sound, and the place of its first sample."""


def apart(
    pieces: Iterable[Float32[np.ndarray, " t"]], window: int, separate: Apart
) -> Iterator[tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, "N n"]]]:
    """The sound, piece by piece, and its parts, as a stream of bounded memory.

    Windows overlap by half. Where two overlap, one fades out as the other fades in, by the square
    of a sine and of a cosine, which add up to 1: so parts that add up to the sound in each window
    do so everywhere.

    Args:
      pieces: of the sound, of any lengths; at least one sample.
      window: samples of a window, even.
      separate: parts of a window; the last one has silence behind the sound.

    Yields:
      Half a window at a time, or what is left of the sound.

    Raises:
      ValueError: a window that is not even.
    """
    if window % 2 or window < 2:
        raise ValueError(f"windows must have an even number of samples, not {window}")
    half = window // 2
    rising = np.sin(np.pi * (np.arange(half) + 0.5) / window).astype(np.float32) ** 2
    falling = rising[::-1]
    before: np.ndarray | None = None  # parts of the window before, from its middle on
    place = 0
    for block, left in _blocks(pieces, half):
        made = np.asarray(separate(block, place), np.float32)
        first = made[:, :half] if before is None else before * falling + made[:, :half] * rising
        length = min(half, left)
        yield block[:length], first[:, :length]
        if half < left <= window:  # it reaches to the end: nothing follows to fade to
            yield block[half:left], made[:, half:left]
            return
        before = made[:, half:]
        place += half


def _blocks(
    pieces: Iterable[Float32[np.ndarray, " t"]], half: int
) -> Iterator[tuple[Float32[np.ndarray, " window"], int]]:
    """Windows that overlap by half, and the samples from each one's start to the sound's end.

    That number is only right where the end is known; before that it is larger than a window.
    The last window is the one that reaches the end.
    """
    kept = np.zeros(0, np.float32)
    for piece in pieces:
        kept = np.concatenate([kept, np.asarray(piece, np.float32)])
        while len(kept) > 2 * half:
            yield kept[: 2 * half], len(kept)
            kept = kept[half:]
    if len(kept):
        yield np.pad(kept, (0, 2 * half - len(kept))), len(kept)
