"""Anyone's sound to the library's waveform, on the host: one rate, one channel, whole numbers.

Every sound comes through here, of a video, of a file or of a caller: one resampler (soxr), one way
to mix channels, one rule of what is silent.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import av
import numpy as np
import soxr
from jaxtyping import Float32, Int16, Shaped

from avloc.data_pipelines.records.features import SAMPLE_RATE

SILENT_DB = -60.0
"""A sound whose loudest tenth of a second lies below this RMS level, in dB of full scale."""

SILENCE = 1e-3
"""A second in which no sample reaches this share of full scale (-60 dBFS) counts as silent."""

CANCEL_DB = 20.0
"""Where the mean of the channels is so much fainter than they are, they cancel each other."""

LOUDEST = 8.0
"""No sound in -1..1 goes beyond this; decoders overshoot 1 by little."""

RATES = (1000, 768_000)
"""The lowest and the highest sample rate that is taken, in Hz."""

CANCELLED = "its channels cancel each other in mono, so the loudest one is taken"


class Mono(NamedTuple):
    """A sound of one channel.

    Attributes:
      samples: of it.
      one_channel: whether the channels cancel each other, so that the loudest stands for all.
    """

    samples: Int16[np.ndarray, " T"]
    one_channel: bool


def rate(sample_rate: Any) -> int:
    """The rate as a whole number.

    Raises:
      ValueError: it is none, or no rate of sound.
    """
    whole = isinstance(sample_rate, float | np.floating) and float(sample_rate).is_integer()
    try:
        if isinstance(sample_rate, bool):
            raise TypeError
        found = int(sample_rate) if whole else operator.index(sample_rate)
    except TypeError:
        raise ValueError(
            f"sample_rate must be a whole number of Hz, one for all sounds, as 44100, not "
            f"{sample_rate!r}"
        ) from None
    if not RATES[0] <= found <= RATES[1]:
        raise ValueError(
            f"no sound has a rate of {sample_rate} Hz: sample rates are {RATES[0]} to {RATES[1]} "
            "Hz, as 44100"
        )
    return found


def resample_to(
    waveform: Shaped[np.ndarray, "*channels T"], rate_in: Any, rate_out: Any
) -> Float32[np.ndarray, "*channels T2"]:
    """The same sound at another sample rate, along the last axis.

    Returns:
      float32 of `ceil(T * rate_out / rate_in)` samples.
    """
    rate_in, rate_out = rate(rate_in), rate(rate_out)
    waveform = np.asarray(waveform, np.float32)
    if rate_in == rate_out:
        return waveform
    length = -(-waveform.shape[-1] * rate_out // rate_in)
    rows = np.reshape(waveform, (-1, waveform.shape[-1]))
    made = np.zeros((len(rows), length), np.float32)
    for row, sound in zip(made, rows, strict=True):
        found = soxr.resample(sound, rate_in, rate_out)[:length]
        row[: len(found)] = found
    return made.reshape(*waveform.shape[:-1], length)


class Resampler:
    """A running sound at `SAMPLE_RATE`, piece by piece; together they are as `resample_to` gives.

    Args:
      rate_in: of what comes, in Hz.
      channels: of what comes.

    Raises:
      ValueError: a rate that no sound has.
    """

    def __init__(self, rate_in: int, channels: int) -> None:
        same = rate(rate_in) == SAMPLE_RATE
        self._stream = None if same else soxr.ResampleStream(rate_in, SAMPLE_RATE, channels)
        self._nothing = np.zeros((0, channels), np.float32)

    def take(self, samples: Float32[np.ndarray, "n C"]) -> Float32[np.ndarray, "m C"]:
        """What is known once `samples` have come; it may be empty."""
        return samples if self._stream is None else self._made(samples, last=False)

    def rest(self) -> Float32[np.ndarray, "m C"]:
        """What is still to come when the sound has ended; call it once."""
        return self._nothing if self._stream is None else self._made(self._nothing, last=True)

    def _made(self, samples: Float32[np.ndarray, "n C"], last: bool) -> np.ndarray:
        # soxr takes one channel without an axis of channels.
        one = samples.shape[1] == 1
        made = self._stream.resample_chunk(samples[:, 0] if one else samples, last=last)
        return made[:, None] if one else made


def samples_of(frame: av.AudioFrame) -> Float32[np.ndarray, "n C"]:
    """The samples of a decoded frame, in -1..1, without a channel of low frequencies alone.

    Raises:
      ValueError: they are no sound: not finite, or far beyond full scale.
    """
    if frame.format.name.rstrip("p") not in _FULL_SCALE:
        return np.concatenate(
            [samples_of(f) for f in av.AudioResampler(format="dbl").resample(frame)]
        )
    zero, full = _FULL_SCALE[frame.format.name.rstrip("p")]
    values, channels = frame.to_ndarray(), frame.layout.nb_channels
    values = values.T if frame.format.is_planar else values.reshape(-1, channels)
    full_range = [not c.name.startswith("LFE") for c in frame.layout.channels]
    if len(full_range) == channels and any(full_range) and not all(full_range):
        values = values[:, full_range]
    if full == 1:
        check_level(values)
    return np.ascontiguousarray((values.astype(np.float32) - zero) / np.float32(full))


_FULL_SCALE = {
    "u8": (128, 2**7),
    "s16": (0, 2**15),
    "s32": (0, 2**31),
    "flt": (0, 1),
    "dbl": (0, 1),
}  # zero and full scale of FFmpeg's formats; `p` marks planes


def check_level(values: Shaped[np.ndarray, "*shape"], what: str = "the sound") -> None:
    """Raises ValueError where floats are not finite, or far beyond -1..1."""
    peak = np.abs(values).max(initial=0.0)
    if not np.isfinite(peak):
        raise ValueError(f"{what} holds NaN or infinity: give finite samples")
    if peak > LOUDEST:
        raise ValueError(
            f"{what} is {values.dtype} up to {peak:.4g}: give -1..1, or int16; of 16-bit "
            "values, waveform / 32768"
        )


def to_mono(sound: Float32[np.ndarray, "C T"]) -> Mono:
    """The mean of the channels, in -1..1, as int16; the loudest where they cancel each other."""
    sound = sound.astype(np.float64)
    mono = sound.mean(axis=0)
    if not mono.size:
        return Mono(_int16(mono), False)
    power = np.var(sound, axis=-1)  # not the mean square: a constant is not heard
    heard = power.max() > 10 ** (SILENT_DB / 10)
    one = bool(heard and np.var(mono) * 10 ** (CANCEL_DB / 10) < power.mean())
    if one:
        mono = sound[power.argmax()]
    return Mono(_int16(mono * 32768), one)


def to_mono_int16(waveform: Shaped[np.ndarray, "*channels T"]) -> Int16[np.ndarray, " T"]:
    """One channel as `to_mono` gives it, of int16, or of float in -1..1, which is clipped there."""
    waveform = np.asarray(waveform)
    if waveform.ndim not in (1, 2):
        raise ValueError(f"sound must be [T] or [channels, T], not {waveform.shape}")
    if waveform.dtype != np.int16 and not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(f"sound must be int16 or float in -1..1, not {waveform.dtype}")
    scaled = waveform.astype(np.float64)
    if waveform.dtype == np.int16:
        scaled /= 32768
    if not np.isfinite(scaled).all():
        raise ValueError("sound holds values that are not finite: decode it again or drop it")
    return to_mono(np.atleast_2d(scaled)).samples


def _int16(values: np.ndarray) -> Int16[np.ndarray, " T"]:
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)


def is_silent(waveform: Int16[np.ndarray, " T"], sample_rate: int = SAMPLE_RATE) -> bool:
    """Whether nothing can be heard: its loudest tenth of a second is below `SILENT_DB`."""
    if not len(waveform):
        return True
    size = max(2, sample_rate // 10)
    padded = np.pad(waveform / 32768, (0, -len(waveform) % size), mode="edge").reshape(-1, size)
    return bool(np.var(padded, axis=-1).max() < 10 ** (SILENT_DB / 10))
