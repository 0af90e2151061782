"""Losses: pure functions of arrays. Every mean honours a mask."""

from avloc.losses.correspondence import info_nce, match_bce, pool
from avloc.losses.distributions import cross_entropy, kl_divergence, masked_mean

__all__ = ["cross_entropy", "info_nce", "kl_divergence", "masked_mean", "match_bce", "pool"]
