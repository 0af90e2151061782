"""Losses: pure functions of arrays. Every mean respects a mask."""

from avloc.losses.alignment import alignment, distances
from avloc.losses.correspondence import info_nce, match_bce, pool, quarters
from avloc.losses.distributions import (
    cross_entropy,
    kl_divergence,
    masked_mean,
    multi_label_bce,
)
from avloc.losses.instances import instance_bce, presence
from avloc.losses.masks import mask_error
from avloc.losses.referrer import (
    audio_guided_logits,
    cross_distillation,
    visible_share,
    visual_guided_logits,
)

__all__ = [
    "alignment",
    "audio_guided_logits",
    "cross_distillation",
    "cross_entropy",
    "distances",
    "info_nce",
    "instance_bce",
    "kl_divergence",
    "mask_error",
    "masked_mean",
    "match_bce",
    "multi_label_bce",
    "pool",
    "presence",
    "quarters",
    "visible_share",
    "visual_guided_logits",
]
