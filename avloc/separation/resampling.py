"""Another sample rate, on the device: by the Fourier transform of the whole sound."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def resample(
    waveform: Float[Array, "*B T"], rate_in: int, rate_out: int, samples: int | None = None
) -> Float[Array, "*B T2"]:
    """The same sound at `rate_out`: what lies above half the lower rate is cut off sharply.

    As `scipy.signal.resample`, with zeros behind the sound, so that its end does not ring into its
    beginning, and so that the rates fit whatever its length. (`avloc.data_pipelines.media.waveform`
    resamples on the host, by soxr: a network needs it in its step.)

    Args:
      waveform: along the last axis.
      rate_in, rate_out: in Hz.
      samples: of the result; `ceil(T * rate_out / rate_in)` if not given.
    """
    length = waveform.shape[-1]
    samples = -(-length * rate_out // rate_in) if samples is None else samples
    if rate_in == rate_out:
        return _to_length(waveform, samples)
    common = math.gcd(rate_in, rate_out)
    down, up = rate_in // common, rate_out // common
    # Whole numbers of both, and a pause of a hundredth of a second or more.
    blocks = -(-(length + rate_in // 100) // down)
    spectrum = jnp.fft.rfft(_to_length(waveform, blocks * down))
    bins = blocks * up // 2 + 1
    kept = min(bins, spectrum.shape[-1])
    spectrum = _to_length(spectrum[..., :kept], bins)
    return _to_length(jnp.fft.irfft(spectrum, blocks * up) * (up / down), samples)


def _to_length(x: Array, length: int) -> Array:
    """Cut, or with zeros behind."""
    x = x[..., :length]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, length - x.shape[-1])])
