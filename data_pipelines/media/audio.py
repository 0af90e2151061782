"""Waveform to log-mel spectrogram, on the device."""

from __future__ import annotations

import functools
import warnings

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import scipy.signal
from jaxtyping import Array, Float, Shaped

from avloc.inputs import PAPER_LOG_MEL, LogMel
from avloc.types import Batch


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
    waveform: Shaped[Array, "B T"], spec: LogMel = PAPER_LOG_MEL
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
    waveform: Shaped[Array, "B T"], spec: LogMel = PAPER_LOG_MEL
) -> Float[Array, "B frames mels 1"]:
    """Log-mel spectrogram in dB: `10 log10(max(mel, 1e-10))`, at least each clip's max - top_db.

    Args:
      waveform: mono, int16, or float in -1..1.
      spec: the setting; `sample_rate` must be that of the waveform.
    """
    decibel = 10 * jnp.log10(jnp.maximum(mel_spectrogram(waveform, spec), 1e-10))
    floor = decibel.max(axis=(1, 2), keepdims=True) - spec.top_db
    return jnp.maximum(decibel, floor)[..., None]


def spectrogram(batch: Batch, spec: LogMel = PAPER_LOG_MEL) -> Float[Array, "B frames mels 1"]:
    """The log-mel spectrogram of a batch: that of its waveforms, or the one that it carries.

    Raises:
      ValueError: the batch carries spectrograms of another number of mel bins, or its sounds are
        not of the length that the front end needs.
    """
    if batch.log_mel is not None:
        if batch.log_mel.shape[-1] != spec.n_mels:
            raise ValueError(
                f"the data set has spectrograms of {batch.log_mel.shape[-1]} mel bins, but "
                f"config.model.audio takes {spec.n_mels}: train on a data set with waveforms"
            )
        return batch.log_mel[..., None]
    samples = batch.waveform.shape[-1]
    if spec.seconds is not None and samples != round(spec.seconds * spec.sample_rate):
        raise ValueError(
            f"config.model.audio takes {spec.seconds} s of sound, but the data set has clips of "
            f"{samples / spec.sample_rate} s: choose another backbone, or other data"
        )
    return log_mel(batch.waveform, spec)
