"""What was found in a picture and its sound, and its picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from avloc.drawing import rendering
from avloc.inference.items import pictures

_SHOWN = 8  # pictures of a batch in a notebook


class Hit(NamedTuple):
    """An object that sounds.

    Attributes:
      name: of its category.
      score: how probable it is that it sounds, 0 to 1.
      box: `[ymin, xmin, ymax, xmax]` as fractions of the image, of the strongest of `boxes`; None
        if the category is heard and nowhere seen.
      boxes: of all parts of its region, the strongest first.
      category: index of its category.
    """

    name: str
    score: float
    box: Float[np.ndarray, " 4"] | None
    boxes: Float[np.ndarray, "n 4"]
    category: int


@dataclass(frozen=True, repr=False, eq=False)
class Localization:
    """What sounds, and where. A leading B where a batch was given.

    Iterating over that of one item gives what sounds (`Hit`), the surest first; over that of a
    batch, its items.

    Attributes:
      maps: activation of each category over the whole image, 0 to 1; `[h, w, N]` or `[B, h, w, N]`.
      scores: how probable it is that each category sounds, 0 to 1; `[N]` or `[B, N]`.
      sounding: scores that reach the model's threshold; `[N]` or `[B, N]`.
      boxes: `boxes[n]`, or `boxes[b][n]`, are the boxes of category n as `[n, 4]` fractions
        `[ymin, xmin, ymax, xmax]`; none where it is silent.
      box_scores: the largest activation in each box, in the same arrangement.
      categories: names of all N categories.
      image: that was localized, for a notebook to show; None: not known.
    """

    maps: Float[np.ndarray, "*B h w N"]
    scores: Float[np.ndarray, "*B N"]
    sounding: Bool[np.ndarray, "*B N"]
    boxes: list
    box_scores: list
    categories: tuple[str, ...]
    image: UInt8[np.ndarray, "*B H W 3"] | None = field(default=None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the categories that sound, the surest first.

        Raises:
          TypeError: this is of a batch.
        """
        if self.scores.ndim != 1:
            raise TypeError("a batch has names for each item: found[b].names")
        return tuple(hit.name for hit in self)

    def __iter__(self) -> Iterator[Hit] | Iterator[Localization]:
        if self.scores.ndim != 1:
            return (self[b] for b in range(len(self)))
        order = np.argsort(-self.scores, kind="stable")
        return (self._hit(int(n)) for n in order if self.sounding[n])

    def _hit(self, n: int) -> Hit:
        boxes = self.boxes[n]
        box = boxes[0] if len(boxes) else None
        return Hit(self.categories[n], float(self.scores[n]), box, boxes, n)

    def __len__(self) -> int:
        if self.scores.ndim == 1:
            raise TypeError("this is the localization of one item, not of a batch")
        return len(self.scores)

    def __getitem__(self, b: int) -> Localization:
        """That of one item of a batch."""
        if not -len(self) <= b < len(self):
            raise IndexError(f"item {b} of a batch of {len(self)}")
        return Localization(
            self.maps[b],
            self.scores[b],
            self.sounding[b],
            self.boxes[b],
            self.box_scores[b],
            self.categories,
            None if self.image is None else self.image[b],
        )

    def __repr__(self) -> str:
        """Two lines: what sounds, and the shape of the maps."""
        shape = " x ".join(map(str, self.maps.shape[:-1]))
        below = f"maps {shape} of {len(self.categories)} categories"
        if self.scores.ndim == 1:
            return f"Localization: {self._told()}\n{below}"
        told = "; ".join(f"[{b}] {item._told()}" for b, item in enumerate(self) if b < _SHOWN)
        more = "; ..." if len(self) > _SHOWN else ""
        return f"Localization of {len(self)} items: {told}{more}\n{below}"

    def _told(self) -> str:
        return ", ".join(f"{hit.name} {hit.score:.2f}" for hit in self) or "nothing sounds"

    def _repr_html_(self) -> str:
        """The picture with what was found, for a notebook; of a batch the first few."""
        if self.scores.ndim != 1:
            shown = "".join(item._repr_html_() for b, item in enumerate(self) if b < _SHOWN)
            return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{shown}</div>'
        told = escape(self._told())
        if self.image is None:
            return f"<p>{told}</p>"
        file = io.BytesIO()
        Image.fromarray(draw(self.image, self)).save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        picture = f'<img alt="{told}" src="data:image/png;base64,{data}">'
        return f'<figure style="margin:0">{picture}<figcaption>{told}</figcaption></figure>'


def draw(
    image: UInt8[np.ndarray, "H W 3"],
    localization: Localization,
    *,
    boxes: bool = False,
    truth: Float[np.ndarray, "M 4"] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """The picture of one item: tint, outline, name and score of each sounding category.

    Args:
      image: RGB, of any size.
      localization: of one item, not of a batch.
      boxes: whether to draw boxes too.
      truth: annotated boxes to draw in dashed white, `[ymin, xmin, ymax, xmax]` fractions.

    Raises:
      ValueError: an image, a localization or boxes that are not as above.
    """
    if not isinstance(localization, Localization):
        raise ValueError(
            "localization must be what Model.localize gave, not "
            f"{type(localization).__name__}: draw(image, model.localize(image, ...))"
        )
    image = pictures(image)
    if localization.scores.ndim != 1 or image.ndim != 3:
        raise ValueError("draw one item at a time: draw(image[b], localization[b])")
    if truth is not None:
        truth = np.asarray(truth, np.float32)
        if truth.ndim != 2 or truth.shape[1] != 4:
            raise ValueError(
                f"truth must be [M, 4], a row [ymin, xmin, ymax, xmax] a box, not {truth.shape}"
            )
    return rendering.draw(
        image,
        localization.maps,
        localization.categories,
        sounding=localization.sounding,
        scores=localization.scores,
        boxes=localization.boxes if boxes else None,
        truth=truth,
    )
