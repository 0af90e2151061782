"""Short-time Fourier transform, log-frequency warp and the inverses of both, on the device."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
from jaxtyping import Array, Complex, Float

EXACT = jax.lax.Precision.HIGHEST


@dataclass(frozen=True)
class Stft:
    """Settings of a spectrum; the defaults are Sound-of-Pixels'.

    Attributes:
      n_fft: samples of a window, even.
      hop: samples between windows.
    """

    n_fft: int = 1022
    hop: int = 256

    @property
    def bins(self) -> int:
        """Rows of a spectrum, from 0 Hz to half the sample rate."""
        return self.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Columns of the spectrum of so many samples."""
        return 1 + samples // self.hop

    @functools.cached_property
    def window(self) -> Float[np.ndarray, " n_fft"]:
        """Periodic Hann."""
        return scipy.signal.get_window("hann", self.n_fft)


def stft(waveform: Float[Array, "*B T"], spec: Stft) -> Complex[Array, "*B F N"]:
    """The spectrum; windows are centred on multiples of `hop`, with zeros beyond the ends.

    As `librosa.stft(waveform, n_fft=spec.n_fft, hop_length=spec.hop)`.
    """
    half = spec.n_fft // 2
    padded = jnp.pad(waveform, [(0, 0)] * (waveform.ndim - 1) + [(half, half)])
    starts = np.arange(spec.frames(waveform.shape[-1])) * spec.hop
    frames = padded[..., starts[:, None] + np.arange(spec.n_fft)]
    return jnp.fft.rfft(frames * spec.window.astype(waveform.dtype)).swapaxes(-1, -2)


def istft(spectrum: Complex[Array, "*B F N"], spec: Stft, samples: int) -> Float[Array, "*B T"]:
    """The sound whose spectrum is nearest, by overlap-add over the sum of squared windows.

    As `librosa.istft(spectrum, n_fft=spec.n_fft, hop_length=spec.hop, length=samples)`.
    """
    count = spectrum.shape[-1]
    frames = jnp.fft.irfft(spectrum.swapaxes(-1, -2), spec.n_fft)
    window = spec.window.astype(frames.dtype)
    squares = _overlap_add(np.broadcast_to(spec.window**2, (count, spec.n_fft)), spec.hop)
    # Beyond the windows there is nothing to divide: such samples stay 0.
    scale = np.where(squares > np.finfo(np.float32).tiny, squares, 1.0)
    sound = _overlap_add(frames * window, spec.hop) / scale.astype(frames.dtype)
    sound = sound[..., spec.n_fft // 2 :][..., :samples]
    missing = samples - sound.shape[-1]
    return jnp.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(0, max(0, missing))])


def _overlap_add(frames: Float[Array, "*B N n_fft"], hop: int) -> Float[Array, "*B T"]:
    """The sum of frames, each `hop` samples behind the one before."""
    xp = np if isinstance(frames, np.ndarray) else jnp
    *batch, count, size = frames.shape
    parts = -(-size // hop)
    ends = [(0, 0)] * len(batch)
    frames = xp.pad(frames, [*ends, (0, 0), (0, parts * hop - size)])
    chunks = frames.reshape(*batch, count, parts, hop)
    total = sum(
        xp.pad(chunks[..., part, :], [*ends, (part, parts - 1 - part), (0, 0)])
        for part in range(parts)
    )
    return total.reshape(*batch, (count + parts - 1) * hop)


def warp(spectrum: Float[Array, "*B F N"], rows: int) -> Float[Array, "*B R N"]:
    """Linear frequency to `rows` of logarithmic frequency: `src = (21^u - 1) / 20`."""
    return jnp.einsum("rf,...fn->...rn", _warping(spectrum.shape[-2], rows), spectrum, **_exact())


def unwarp(warped: Float[Array, "*B R N"], bins: int) -> Float[Array, "*B F N"]:
    """The way back to `bins` of linear frequency: `src = ln(20 v + 1) / ln 21`."""
    return jnp.einsum("fr,...rn->...fn", _unwarping(warped.shape[-2], bins), warped, **_exact())


def _exact() -> dict[str, jax.lax.Precision]:
    return {"precision": EXACT}


@functools.cache
def _warping(bins: int, rows: int) -> Float[np.ndarray, "R F"]:
    return interpolation((21 ** np.linspace(0, 1, rows) - 1) / 20, bins)


@functools.cache
def _unwarping(rows: int, bins: int) -> Float[np.ndarray, "F R"]:
    return interpolation(np.log(20 * np.linspace(0, 1, bins) + 1) / np.log(21), rows)


def interpolation(places: Float[np.ndarray, " M"], size: int) -> Float[np.ndarray, "M size"]:
    """The matrix that reads a vector at `places`, linearly between its entries.

    Args:
      places: 0 is the first entry's middle and 1 the last one's ("align_corners").
      size: entries of the vector.
    """
    place = np.clip(places, 0, 1) * (size - 1)
    low = np.minimum(place.astype(int), max(0, size - 2))
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((len(places), size))
    rows = np.arange(len(places))
    np.add.at(matrix, (rows, low), 1 - (place - low))
    np.add.at(matrix, (rows, high), place - low)
    return matrix.astype(np.float32)
