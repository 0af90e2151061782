"""The share of good scores: over items, over sources, or by level of difficulty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from avloc.evaluation import metrics
from avloc.evaluation.bootstrap import Interval
from avloc.evaluation.protocols import Protocol
from avloc.evaluation.results import metric


def success(
    scores: Float[np.ndarray, " n"],
    name: str,
    videos: Int[np.ndarray, " n"],
    protocol: Protocol,
    resample: Callable[..., Interval],
    *,
    cut: float | None = None,
    prefix: str = "",
) -> dict[str, Any]:
    """Success at a cut, and the area under the success curve, in per cent.

    Args:
      scores: in 0..1.
      name: of the score.
      videos: of each.
      protocol: gives the levels, and the cut unless another is given.
      resample: gives a value its interval over videos.
      cut: if different from the protocol's.
      prefix: of the metrics' names.
    """
    cut = protocol.cut if cut is None else cut
    area = metrics.success_auc(scores, protocol.success_levels)
    reached = scores >= protocol.success(cut)
    # Everything reaches the level 0.
    bounds = tuple(metrics.success_auc(np.array([0.0, 1.0]), protocol.success_levels))
    return {
        f"{prefix}{name}@{cut:g}": metric(resample(reached, videos), 100),
        f"{prefix}AUC": metric(resample(area, videos, bounds=bounds), 100),
    }


def scene_success(
    ious: Float[np.ndarray, "S N"],
    sounds: Bool[np.ndarray, "S N"],
    videos: Int[np.ndarray, " S"],
    protocol: Protocol,
    resample: Callable[..., Interval],
) -> dict[str, Any]:
    """Success of scenes, of sources, or of scenes by how many categories sound (C2F eq. 9).

    Args:
      ious: of each category's map.
      sounds: whether the category sounds in the scene.
      videos: of each scene.
      protocol: says which of the three.
      resample: gives a value its interval over videos.
    """
    if protocol.unit == "source":
        of_source = np.broadcast_to(videos[:, None], sounds.shape)[sounds]
        return success(ious[sounds], "source IoU", of_source, protocol, resample)
    scene = metrics.class_aware_iou(ious, sounds)
    cuts = protocol.level_cuts
    found = success(scene, "cIoU_class" if cuts else "CIoU", videos, protocol, resample)
    level = sounds.sum(1)
    for one in np.unique(level) if cuts else ():
        those, cut = level == one, cuts[min(one, len(cuts)) - 1]
        found |= success(
            scene[those],
            "cIoU_class",
            videos[those],
            protocol,
            resample,
            cut=cut,
            prefix=f"level {one} ",
        )
    return found
