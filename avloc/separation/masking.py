"""Mixtures as spectra, the masks that take them apart, and what a network is to learn of them."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from avloc.separation.spectrum import Stft, istft, stft, unwarp, warp

MASKS = ("binary", "ratio")


@dataclass(frozen=True)
class Grid:
    """Where masks live: cells of log frequency and time.

    Attributes:
      stft: of the sounds.
      rows: of log frequency.
      multiple: of columns; networks halve both sides several times.
    """

    stft: Stft
    rows: int
    multiple: int

    def spectra(self, waveform: Float[Array, "*B T"]) -> Complex[Array, "*B F N"]:
        """Spectra, with silence behind, so that their columns are a multiple."""
        columns = self.stft.frames(waveform.shape[-1])
        columns = -(-columns // self.multiple) * self.multiple
        missing = (columns - 1) * self.stft.hop - waveform.shape[-1]
        ends = [(0, 0)] * (waveform.ndim - 1)
        padded = jnp.pad(waveform, [*ends, (0, max(0, missing))])
        return stft(padded, self.stft)

    def loudness(self, spectra: Complex[Array, "*B F N"]) -> Float[Array, "*B R N"]:
        """Magnitude at each cell."""
        return warp(jnp.abs(spectra), self.rows)

    def apply(
        self,
        masks: Float[Array, "*B R N"],
        spectra: Complex[Array, "*B F N"],
        samples: int,
        kind: str,
    ) -> Float[Array, "*B T"]:
        """The sounds that masks leave of mixtures, with the mixtures' phase.

        A `binary` mask is cut at one half on the way back, where it is on linear frequency.
        """
        linear = unwarp(masks, self.stft.bins)
        if kind == "binary":
            linear = (linear > 0.5).astype(linear.dtype)
        return istft(linear * spectra, self.stft, samples)


def network_input(loudness: Float[Array, "*B R N"]) -> Float[Array, "*B R N 1"]:
    """What a network hears: the logarithm."""
    return jnp.log(loudness + 1e-10)[..., None]


def weights(mixture: Float[Array, "*B R N"]) -> Float[Array, "*B R N"]:
    """How much a cell counts: loud ones more (Sound-of-Pixels)."""
    return jnp.clip(jnp.log1p(mixture), 1e-3, 10)


def targets(
    source: Float[Array, "*B R N"], mixture: Float[Array, "*B R N"], kind: str
) -> Float[Array, "*B R N"]:
    """The ideal mask of a source.

    Args:
      source, mixture: loudness at each cell.
      kind: `binary`, 1 where the source is more than half of the mixture; or `ratio`, its share.

    Raises:
      ValueError: no such kind.
    """
    if kind == "binary":
        return (source > 0.5 * mixture).astype(source.dtype)
    if kind == "ratio":
        return jnp.clip(source / (mixture + 1e-10), 0, 5)
    raise ValueError(f"config.separation.mask is 'binary' or 'ratio', not {kind!r}")
