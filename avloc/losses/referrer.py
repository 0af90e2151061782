"""The Cross-modal Referrer of IEr: each modality's distribution, filtered by the other's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from avloc.losses.distributions import kl_divergence

MASK_RULES = ("constant", "batch_ratio", "sample_ratio", "none", "batch_mean")


def visible_share(
    maps: Float[Array, "B h w K"], mask: Bool[Array, " B"], rule: str, threshold: float = 0.5
) -> Float[Array, "B K"]:
    """`GAP(m_k)`, `m_k = L^v_k > epsilon`: the share of the picture that source k takes up.

    The rules of IEr's supplement C: `constant`, epsilon is `threshold` (eq. 11); `batch_ratio`,
    `threshold` times the largest value over the batch's maps of all sources (eq. 12);
    `sample_ratio`, `threshold` times the largest value of that map itself (eq. 13); `none`,
    GAP(L^v_k) in place of the mask (eq. 14); `batch_mean`, the paper's choice, the mean of L^v_k
    over positions and batch, for each source (eq. 16).

    No gradient flows into the maps: they only filter what is heard.

    Args:
      maps: `L^v`, all of the batch.
      mask: False where the item is padding; it then affects no epsilon.
    """
    maps = jax.lax.stop_gradient(maps)
    if rule == "none":
        return maps.mean(axis=(1, 2))
    real = mask[:, None, None, None]
    if rule == "constant":
        epsilon = threshold
    elif rule == "batch_ratio":
        epsilon = threshold * jnp.max(jnp.where(real, maps, -jnp.inf))
    elif rule == "sample_ratio":
        epsilon = threshold * maps.max(axis=(1, 2), keepdims=True)
    elif rule == "batch_mean":
        cells = maps.shape[1] * maps.shape[2]
        epsilon = jnp.where(real, maps, 0).sum(axis=(0, 1, 2)) / jnp.maximum(mask.sum() * cells, 1)
    else:
        raise ValueError(
            f"config.stage_two.mask_rule is one of {', '.join(MASK_RULES)}, not {rule!r}"
        )
    return (maps > epsilon).astype(maps.dtype).mean(axis=(1, 2))


def audio_guided_logits(
    heard: Float[Array, "B K"], share: Float[Array, "B K"] | None, scale: float = 1.0
) -> Float[Array, "B K"]:
    """Logits of `p^av`: `p^av_k = share_k p^a_k / sum_k share_k p^a_k` (IEr eq. 4 and 5).

    A sound without an object in the picture has a small share and drops out.

    Args:
      heard: `p^a`, how probable each source is by the sound, 0 to 1.
      share: `GAP(m)`; None turns off the off-screen filter: all shares are equal.
      scale: factor before the softmax, 1 in the paper.
    """
    product = heard if share is None else share * heard
    return scale * product / jnp.maximum(product.sum(axis=-1, keepdims=True), 1e-6)


def visual_guided_logits(maps: Float[Array, "B h w K"], scale: float = 1.0) -> Float[Array, "B K"]:
    """Logits of `p^va`: `GAP(L^av_k)` (IEr eq. 3), times a factor that is 1 in the paper."""
    return scale * maps.mean(axis=(1, 2))


def cross_distillation(
    seen: Float[Array, "B K"],
    heard: Float[Array, "B K"],
    mask: Bool[Array, " B"],
    targets: str = "soft",
) -> Float[Array, ""]:
    """`L_u = 1/2 KL(p^va || p^av) + 1/2 KL(p^av || p^va)` (IEr eq. 6), in nats.

    Args:
      seen: logits of `p^va`.
      heard: logits of `p^av`.
      mask: False where the item is padding.
      targets: `soft`, the first distribution of each term is a target as in distillation: no
        gradient flows into it. `both`: gradients flow into both.
    """
    if targets not in ("soft", "both"):
        raise ValueError(f"config.stage_two.targets is 'soft' or 'both', not {targets!r}")
    teach = jax.lax.stop_gradient if targets == "soft" else lambda x: x
    return 0.5 * (kl_divergence(teach(seen), heard, mask) + kl_divergence(teach(heard), seen, mask))
