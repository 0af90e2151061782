"""A strip that shows over time which classes sound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from avloc.drawing.rendering import palette
from avloc.drawing.tags import INK, font, font_size

_EMPTY, _DIM = np.array((38, 40, 48)), 0.4


class Timeline:
    """A strip that shows over time which classes sound: time to the right, one row per class.

    The height of a row is a score of 1. Where its class sounds, its score is a bar in the class's
    colour, where it is silent a dim one. Only classes that sound at some time have a row; if there
    are more than `MAX_ROWS`, those that sound longest are kept, and a last line counts the others.
    """

    MAX_ROWS = 6

    def __init__(
        self,
        scores: Float[np.ndarray, "S N"],
        sounding: Bool[np.ndarray, "S N"],
        names: Sequence[str],
        width: int,
        height: int | None = None,
    ) -> None:
        """Draws the strip once; `at` adds the cursor.

        Args:
          scores: of each second and class, 0 to 1.
          sounding: of each second and class.
          names: of the classes.
          width: of the strip, in pixels.
          height: of the strip, in pixels; None gives each row what its lettering needs.
        """
        scores, sounding = np.asarray(scores, np.float32), np.asarray(sounding, bool)
        if scores.shape != sounding.shape or scores.shape[1:] != (len(names),):
            raise ValueError(
                f"scores and sounding must both be [S, {len(names)}], not {scores.shape} "
                f"and {sounding.shape}"
            )
        heard = sounding.sum(0)
        ranked = [int(n) for n in np.argsort(-heard, kind="stable") if heard[n]]
        kept = sorted(ranked[: self.MAX_ROWS])
        rest = len(ranked) - len(kept)
        notes = ["nothing sounds"] if not kept else [f"and {rest} more"] if rest else []
        size = font_size(round(width * 0.5), width)
        size = size if height is None else int(max(7, min(size, height / (len(kept) + 2.4))))
        self._seconds = len(scores)
        self._width = width
        pad = max(2, size // 3)
        row = round(1.6 * size)
        lines = len(kept) + len(notes)
        axis = round(1.3 * size) + pad
        self._height = height or 2 * pad + lines * row + axis
        row = (self._height - 2 * pad - axis) / max(1, lines)
        face = font(size)
        texts = [_fit(names[n], face, 0.3 * width) for n in kept] + notes
        self._left = round(max(face.getlength(t) for t in texts)) + 3 * pad
        self._right = max(self._left + 1, width - 2 * pad)
        self._top, self._bottom = pad, round(pad + lines * row)
        self._cursor = max(1, round(size / 8))

        canvas = Image.new("RGB", (width, self._height), INK)
        pen = ImageDraw.Draw(canvas)
        for line, text in enumerate(texts):
            colour = (235, 235, 240) if line < len(kept) else (150, 150, 160)
            middle = (2 * pad, pad + (line + 0.5) * row)
            pen.text(middle, text, font=face, fill=colour, anchor="lm")
        self._ticks(pen, face, pad)
        pixels = np.array(canvas)
        for line, n in enumerate(kept):
            top, bottom = round(pad + line * row) + 1, round(pad + (line + 1) * row) - 1
            area = pixels[top : max(bottom, top + 1), self._left : self._right]
            self._fill(area, scores[:, n], sounding[:, n], palette(len(names))[n])
        self._pixels = pixels

    def _fill(
        self, area: np.ndarray, scores: np.ndarray, sounding: np.ndarray, colour: np.ndarray
    ) -> None:
        """Paints a row in place. A column that holds several seconds shows their maximum, of those
        that sound if there are any."""
        area[:] = _EMPTY
        if not self._seconds:
            return
        height, width = area.shape[:2]
        start = np.arange(width) * self._seconds // width
        heard = np.maximum.reduceat(sounding, start)
        shown = np.where(
            heard, *(np.maximum.reduceat(s, start) for s in (scores * sounding, scores))
        )
        pixels = np.round(height * np.clip(shown, 0, 1)).astype(int)
        pixels = np.maximum(pixels, heard)  # what sounds is seen
        bar = np.arange(height, 0, -1)[:, None] <= pixels
        area[bar & ~heard] = np.uint8(_DIM * colour + (1 - _DIM) * _EMPTY)
        area[bar & heard] = colour

    def _ticks(self, pen: ImageDraw.ImageDraw, face: ImageFont.FreeTypeFont, pad: int) -> None:
        """Times below the rows, at the smallest round distance that leaves room between them."""
        span = self._right - self._left
        text = clock(self._seconds)
        room = max(1, int(span / (1.9 * face.getlength(text) + 1)))
        steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
        step = next((s for s in steps if self._seconds / s <= room), max(1, self._seconds))
        for second in range(0, self._seconds + 1, step):
            x = self._left + span * second / max(1, self._seconds)
            pen.line((x, self._bottom, x, self._bottom + pad), fill=(110, 112, 122))
            half = face.getlength(clock(second)) / 2
            at = (min(x, self._width - half - 1), self._bottom + pad + 1)
            pen.text(at, clock(second), font=face, fill=(170, 172, 182), anchor="mt")

    @property
    def height(self) -> int:
        """Height of the strip, in pixels."""
        return self._height

    def at(self, cursor: float | None = None) -> UInt8[np.ndarray, "h W 3"]:
        """The strip with a white line at `cursor`, in seconds; no line if None."""
        strip = self._pixels.copy()
        if cursor is not None:
            share = min(max(cursor / max(1, self._seconds), 0.0), 1.0)
            x = self._left + round(share * (self._right - self._left - 1))
            lines = slice(self._top, self._bottom + self._top)
            strip[lines, max(0, x - self._cursor - 1) : x + self._cursor + 2] = INK
            strip[lines, max(0, x - self._cursor // 2) : x + (self._cursor + 1) // 2] = 255
        return strip


def timeline_strip(
    scores: Float[np.ndarray, "S N"],
    sounding: Bool[np.ndarray, "S N"],
    names: Sequence[str],
    width: int,
    height: int | None = None,
    cursor: float | None = None,
) -> UInt8[np.ndarray, "h W 3"]:
    """One picture of a `Timeline`, with its cursor at a time in seconds."""
    return Timeline(scores, sounding, names, width, height).at(cursor)


def _fit(text: str, face: ImageFont.FreeTypeFont, width: float) -> str:
    """The text, its end replaced by an ellipsis if it is wider than `width` pixels."""
    if face.getlength(text) <= width:
        return text
    while text and face.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def clock(seconds: int) -> str:
    """A time as people write it: `1:05`, `1:00:00`."""
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
