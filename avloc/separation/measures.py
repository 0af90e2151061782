"""SDR, SIR and SAR of separated sounds (BSS Eval 3, filters of 512 samples), and SI-SDR, in dB.

In closed form, for a whole batch at once. With `G` the inner products of the sources' 512 delays,
`d` those with an estimate, and `E` the estimate's energy: `P = d G^-1 d` is the energy of its
projection on all sources, `P_j = d_j G_jj^-1 d_j` on its own. SDR is `P_j / (E - P_j)`, SIR
`P_j / (P - P_j)`, SAR `P / (E - P)`.
"""

from __future__ import annotations

from itertools import permutations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft
from jaxtyping import Array, Bool, Float, Int

from avloc.separation.toeplitz import inverse_form

DELAYS = 512
"""Length of the filters by which an estimate may differ from a source without being wrong."""

SILENCE = 1e-5
"""A sound whose samples sum to no more, taken without sign, is silent: Sound-of-Pixels' rule."""


class Separation(NamedTuple):
    """Measures of a batch of separated mixtures, in dB; nan for items that are not `heard`.

    Attributes:
      sdr, sir, sar: of each source by the estimate that `order` gives it.
      si_sdr: the same without filters: an estimate may differ in its scale alone.
      order: the estimate of each source.
      heard: whether no source and no estimate of the item is silent. Measures of silence do not
        exist: count these items and say how many there are.
    """

    sdr: Float[np.ndarray, "B N"]
    sir: Float[np.ndarray, "B N"]
    sar: Float[np.ndarray, "B N"]
    si_sdr: Float[np.ndarray, "B N"]
    order: Int[np.ndarray, "B N"]
    heard: Bool[np.ndarray, " B"]


def separation(
    sources: Float[np.ndarray, "B N T"],
    estimates: Float[np.ndarray, "B N T"],
    *,
    any_order: bool = False,
    delays: int = DELAYS,
) -> Separation:
    """Measures how well estimates give the sources of mixtures.

    Args:
      sources: what was mixed.
      estimates: what was made of the mixture.
      any_order: whether each item's estimates are given to its sources so that the mean SIR is
        highest, as in mir_eval; else estimate n is of source n.
      delays: length of the filters.

    Raises:
      ValueError: the shapes differ, or values are not finite.
    """
    sources, estimates = np.asarray(sources, np.float64), np.asarray(estimates, np.float64)
    if sources.shape != estimates.shape or sources.ndim != 3:
        raise ValueError(
            "sources and estimates must both be [B, N, T], not "
            f"{sources.shape} and {estimates.shape}"
        )
    if not (np.isfinite(sources).all() and np.isfinite(estimates).all()):
        raise ValueError("sources or estimates hold NaN or infinity: give finite samples")
    heard = ~(is_silent(sources) | is_silent(estimates)).any(axis=-1)
    batch, count = sources.shape[:2]
    pairs = np.full((4, batch, count, count), np.nan)
    if heard.any():
        with jax.enable_x64(True):
            found = _pairs(sources[heard], estimates[heard], delays)
            pairs[:, heard] = np.asarray(found)
    order = np.tile(np.arange(count), (batch, 1))
    if any_order:
        choices = np.array(list(permutations(range(count))))
        mean_sir = pairs[1][:, np.arange(count), choices].mean(axis=-1)
        order = choices[np.nan_to_num(mean_sir, nan=-np.inf).argmax(axis=-1)]
    chosen = np.take_along_axis(pairs, np.broadcast_to(order, pairs.shape[:3])[..., None], axis=-1)
    return Separation(*chosen[..., 0], order, heard)


def is_silent(sound: Float[np.ndarray, "*B T"]) -> Bool[np.ndarray, "*B"]:
    """Whether nothing is there."""
    return np.abs(sound).sum(axis=-1) <= SILENCE


@jax.jit(static_argnums=2)
def _pairs(
    sources: Float[Array, "B N T"], estimates: Float[Array, "B N T"], delays: int
) -> Float[Array, "4 B N N"]:
    """SDR, SIR, SAR and SI-SDR of each source (third axis) by each estimate (last axis)."""
    batch, count = sources.shape[:2]
    lags, cross = jax.lax.map(lambda pair: _correlations(*pair, delays), (sources, estimates))
    every = inverse_form(lags, cross)[:, None]
    own = jnp.diagonal(lags, axis1=1, axis2=2).swapaxes(1, 2).reshape(-1, 1, 1, 2 * delays)
    own = inverse_form(own, cross.reshape(batch * count, 1, count, delays))
    own = own.reshape(batch, count, count)
    energy = jnp.sum(estimates**2, axis=-1)[:, None]
    scaled = cross[..., 0] ** 2 / jnp.sum(sources**2, axis=-1)[..., None]
    signal = jnp.stack([own, own, every + 0 * own, scaled])
    noise = jnp.stack([energy - own, every - own, energy - every + 0 * own, energy - scaled])
    # The smallest noise is the rounding of 64 bits: no ratio is above 300 dB.
    return 10 * jnp.log10(signal / jnp.maximum(noise, 1e-30 * signal))


def _correlations(
    sources: Float[Array, "N T"], estimates: Float[Array, "N T"], delays: int
) -> tuple[Float[Array, "N N lags"], Float[Array, "N N D"]]:
    """Of each two sources at lags 0 .. D - 1 and -D .. -1; of sources with estimates from 0 on."""
    size = scipy.fft.next_fast_len(sources.shape[-1] + delays, real=True)
    f, e = jnp.fft.rfft(sources, size), jnp.fft.rfft(estimates, size)
    lags = jnp.fft.irfft(f[:, None].conj() * f[None], size)
    lags = jnp.concatenate([lags[..., :delays], lags[..., -delays:]], axis=-1)
    return lags, jnp.fft.irfft(f[:, None].conj() * e[None], size)[..., :delays]
