"""Names in a picture: tags, each at the region that it names, clear of each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

INK = (18, 19, 24)
"""Near black, of edges, labels and backgrounds; RGB."""

Area = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""


@lru_cache(maxsize=16)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font, so that pictures look the same everywhere. `size` is in pixels."""
    return ImageFont.load_default(size=size)


def font_size(height: int, width: int) -> int:
    """Size of lettering, in pixels, that suits a picture of this size."""
    return max(8, round(6 + 0.021 * min(height, width)))


@lru_cache(maxsize=256)
def tag(text: str, colour: tuple[int, int, int], size: int) -> Image.Image:
    """A dark tag with a dot of the class's colour and the text in white, RGBA."""
    face = font(size)
    pad, dot = round(0.35 * size), round(0.6 * size)
    width = round(face.getlength(text)) + 3 * pad + dot
    height = round(1.55 * size)
    over = 4  # drawn larger and reduced: Pillow's shapes have hard edges
    made = Image.new("RGBA", (over * width, over * height), (*INK, 0))
    pen = ImageDraw.Draw(made)
    corner = (0, 0, over * width - 1, over * height - 1)
    pen.rounded_rectangle(corner, radius=over * height // 4, fill=(*INK, 205))
    top = over * (height - dot) // 2
    pen.ellipse((over * pad, top, over * (pad + dot), top + over * dot), fill=(*colour, 255))
    made = made.resize((width, height), Image.Resampling.BOX)
    middle = (2 * pad + dot, height / 2)
    ImageDraw.Draw(made).text(middle, text, font=face, fill=(255, 255, 255, 255), anchor="lm")
    return made


def place_tag(
    canvas: Image.Image,
    label: Image.Image,
    box: Float[np.ndarray, " 4"],
    strength: float,
    taken: list[Area],
) -> None:
    """Pastes the label at a box, inside the picture and clear of those `taken`.

    It stands above the box; where there is no room, below it, inside it or beside it. Only if all
    these are taken does it go elsewhere, with a line that leads to the box.

    Args:
      canvas: drawn on.
      label: RGBA, as `tag` makes it.
      box: `[ymin, xmin, ymax, xmax]`, in 0..1.
      strength: 1 shows it fully, 0 not at all.
      taken: of the labels so far; this one is added.
    """
    (w, h), (lw, lh) = canvas.size, label.size
    scaled = np.asarray(box, float) * (h, w, h, w)
    top, left, bottom, right = (round(float(v)) for v in scaled)
    opacity = min(float(strength), 1.0)
    at = next((a for a in _at(top, left, bottom, right, lw, lh) if _free(a, taken, w, h)), None)
    if at is None:
        at = _nearest((left + right - lw) // 2, top - lh - 2, lw, lh, taken, w, h)
        middle = ((left + right) // 2, (top + bottom) // 2)
        line = Image.new("L", canvas.size)
        ends = (*middle, (at[0] + at[2]) // 2, (at[1] + at[3]) // 2)
        ImageDraw.Draw(line).line(ends, fill=round(255 * opacity), width=max(1, lh // 10))
        canvas.paste(INK, mask=line)
    taken.append(at)
    mask = label.getchannel("A").point(lambda a: round(a * opacity))
    canvas.paste(label.convert("RGB"), at[:2], mask)


def _at(top: int, left: int, bottom: int, right: int, lw: int, lh: int) -> Iterator[Area]:
    """Places for a label at a box, the best first."""
    x = (left + right - lw) // 2
    inner = (x, left + 2, right - lw - 2)  # in the middle of an edge, or at its ends
    for y in (top - lh - 2, bottom + 2, top + 2, bottom - lh - 2):
        for along in inner:
            yield along, y, along + lw, y + lh
    y = (top + bottom - lh) // 2
    for beside in (right + 2, left - lw - 2):
        yield beside, y, beside + lw, y + lh


def _free(area: Area, taken: list[Area], width: int, height: int) -> bool:
    left, top, right, bottom = area
    inside = left >= 0 and top >= 0 and right <= width and bottom <= height
    return inside and not any(
        left < r and x < right and top < b and y < bottom for x, y, r, b in taken
    )


def _nearest(x: int, y: int, lw: int, lh: int, taken: list[Area], width: int, height: int) -> Area:
    """The free place nearest above or below; the place itself, moved inside, if there is none."""
    x = int(np.clip(x, 0, max(0, width - lw)))
    y = int(np.clip(y, 0, max(0, height - lh)))
    for step in range(0, height, 2):
        for other in (y + step, y - step):
            if _free((x, other, x + lw, other + lh), taken, width, height):
                return x, other, x + lw, other + lh
    return x, y, x + lw, y + lh
