"""Waveform to log-mel spectrogram, on the device; and user sound to the library's waveform."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import scipy.signal
from jaxtyping import Array, Float, Int16, Shaped

from avloc.types import Batch


@dataclass(frozen=True)
class LogMel:
    """A log-mel setting; the default is that of DSOL, CSOL and IEr (201 x 64 for one second).

    IEr writes "window length of 160 ms, hop length of 80 ms", which would give 13 frames a
    second; it means the same 160 and 80 samples. At this length two mel filters contain no FFT bin
    and stay empty.

    Attributes:
      sample_rate: of the waveform, in Hz.
      n_fft: window and FFT length, in samples.
      hop: samples from one frame to the next.
      n_mels: number of mel bins.
      f_min, f_max: range of the mel bins, in Hz.
      top_db: quieter values are raised to this many dB below the clip's maximum.
    """

    sample_rate: int = 16000
    n_fft: int = 160
    hop: int = 80
    n_mels: int = 64
    f_min: float = 0.0
    f_max: float = 8000.0
    top_db: float = 80.0


@functools.lru_cache
def _mel_filters(spec: LogMel) -> np.ndarray:
    """Slaney mel filters with slaney's norm, `[n_fft // 2 + 1, n_mels]`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters")
        filters = librosa.filters.mel(
            sr=spec.sample_rate,
            n_fft=spec.n_fft,
            n_mels=spec.n_mels,
            fmin=spec.f_min,
            fmax=spec.f_max,
        )
    return filters.T


def mel_spectrogram(
    waveform: Shaped[Array, "B T"], spec: LogMel = LogMel()
) -> Float[Array, "B frames mels"]:
    """Mel projection of the magnitude (not power) spectrogram.

    Frames are centred on multiples of `hop`, with zeros beyond the ends: `1 + T // hop` of them.

    Args:
      waveform: mono, int16, or float in -1..1.
      spec: the setting; `sample_rate` must be that of the waveform.
    """
    if waveform.ndim != 2:
        raise ValueError(f"a batch of waveforms must be [B, T], not {waveform.shape}")
    if waveform.dtype == jnp.int16:
        waveform = waveform.astype(jnp.float32) / 32768
    elif jnp.issubdtype(waveform.dtype, jnp.floating):
        waveform = jnp.asarray(waveform, jnp.float32)
    else:
        raise ValueError(f"a waveform must be int16 or float in -1..1, not {waveform.dtype}")
    padded = jnp.pad(waveform, ((0, 0), (spec.n_fft // 2, spec.n_fft // 2)))
    starts = np.arange(1 + (padded.shape[1] - spec.n_fft) // spec.hop) * spec.hop
    frames = padded[:, starts[:, None] + np.arange(spec.n_fft)]
    window = scipy.signal.get_window("hann", spec.n_fft).astype(np.float32)
    magnitude = jnp.abs(jnp.fft.rfft(frames * window))
    return jnp.matmul(magnitude, _mel_filters(spec), precision=jax.lax.Precision.HIGHEST)


def log_mel(
    waveform: Shaped[Array, "B T"], spec: LogMel = LogMel()
) -> Float[Array, "B frames mels 1"]:
    """Log-mel spectrogram in dB: `10 log10(max(mel, 1e-10))`, at least each clip's max - top_db.

    Args:
      waveform: mono, int16, or float in -1..1.
      spec: the setting; `sample_rate` must be that of the waveform.
    """
    decibel = 10 * jnp.log10(jnp.maximum(mel_spectrogram(waveform, spec), 1e-10))
    floor = decibel.max(axis=(1, 2), keepdims=True) - spec.top_db
    return jnp.maximum(decibel, floor)[..., None]


def spectrogram(batch: Batch, spec: LogMel = LogMel()) -> Float[Array, "B frames mels 1"]:
    """The log-mel spectrogram of a batch: computed from its waveforms, or the one stored in it."""
    return log_mel(batch.waveform, spec) if batch.log_mel is None else batch.log_mel[..., None]


def resample_to(
    waveform: Float[np.ndarray, "*channels T"], rate_in: int, rate_out: int
) -> Float[np.ndarray, "*channels T2"]:
    """The same sound at another sample rate, along the last axis; on the host.

    Returns:
      float32 of `ceil(T * rate_out / rate_in)` samples.
    """
    if rate_in <= 0 or rate_out <= 0:
        raise ValueError(f"sample rates must be positive, not {rate_in} and {rate_out} Hz")
    waveform = np.asarray(waveform, np.float32)
    if rate_in == rate_out:
        return waveform
    divisor = np.gcd(rate_in, rate_out)
    return scipy.signal.resample_poly(
        waveform, rate_out // divisor, rate_in // divisor, axis=-1
    ).astype(np.float32)


def to_mono_int16(waveform: Shaped[np.ndarray, "*channels T"]) -> Int16[np.ndarray, " T"]:
    """Mean of the channels as int16; float is -1..1 and clipped there. On the host."""
    waveform = np.asarray(waveform)
    if waveform.ndim not in (1, 2):
        raise ValueError(f"sound must be [T] or [channels, T], not {waveform.shape}")
    if waveform.dtype == np.int16:
        scaled = waveform.astype(np.float64)
    elif np.issubdtype(waveform.dtype, np.floating):
        scaled = waveform.astype(np.float64) * 32768
    else:
        raise ValueError(f"sound must be int16 or float in -1..1, not {waveform.dtype}")
    if not np.isfinite(scaled).all():
        raise ValueError("sound holds values that are not finite: decode it again or drop it")
    if scaled.ndim == 2:
        scaled = scaled.mean(axis=0)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)
