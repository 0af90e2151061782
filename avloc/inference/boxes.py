"""From a map to boxes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from avloc.evaluation.rendering import REGION, upsample

_SMALLEST = 0.1  # share of the largest component


def boxes_from_map(
    map: Float[np.ndarray, "h w"],
    *,
    threshold: float = REGION,
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, " n"]]:
    """Boxes around the connected regions where a map is high.

    The map is enlarged to `size`; pixels that reach `threshold` times its own maximum and touch by
    a side form a component. A component smaller than half a cell of the map, or than a tenth of
    the largest component, is dropped; the largest always stays.

    Args:
      map: activation, 0 to 1. One that is 0 throughout has no boxes.
      threshold: share of the map's maximum, above 0 and at most 1.
      size: (H, W) to enlarge to, in pixels; boxes are as fine as its pixels.

    Returns:
      `[ymin, xmin, ymax, xmax]` as fractions of the image, and the score of each box: the largest
      activation in it. Highest score first.

    Raises:
      ValueError: the threshold is outside its range.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    map = np.asarray(map, np.float32)
    full = upsample(map, size)
    if not full.max() > 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    parts, count = ndimage.label(full >= threshold * full.max())
    index = np.arange(1, count + 1)
    area = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    cell = full.size / map.size
    kept = (area >= np.maximum(cell / 2, _SMALLEST * area.max())) | (index == area.argmax() + 1)
    scores = np.asarray(ndimage.maximum(full, parts, index), np.float32)
    order = [n for n in np.argsort(-scores, kind="stable") if kept[n]]
    slices = ndimage.find_objects(parts)
    boxes = [
        (rows.start / size[0], columns.start / size[1], rows.stop / size[0], columns.stop / size[1])
        for rows, columns in (slices[n] for n in order)
    ]
    return np.array(boxes, np.float32), scores[order]
