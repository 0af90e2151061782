"""Sounds of the toy orchestra: twelve timbres over one range of pitches.

Timbre is spectral envelope, attack, decay, vibrato, tremolo, inharmonicity and noise. Pitch,
number of notes, loudness and background noise have the same distribution for every category.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int16

from avloc.data_pipelines.records.features import CLIP_SECONDS, SAMPLE_RATE

PITCH_RANGE = (180.0, 700.0)
"""Fundamentals of all categories, in Hz, uniform in log frequency."""

GAIN_RANGE = (-6.0, 0.0)
"""Loudness in dB, relative to `FULL_RMS`."""

FULL_RMS = 0.05
"""Root mean square of the loudest clip, where 1 is full scale (-26 dBFS)."""

PHRASE_SECONDS = (0.35, 0.55)
"""Length of the phrase that is played, of the clip's second."""

SNR_RANGE = (20.0, 30.0)
"""Sound to background noise, in dB."""

_SAMPLES = SAMPLE_RATE * CLIP_SECONDS
_HIGHEST = 7600.0


@dataclass(frozen=True)
class Timbre:
    """How a category sounds, whatever it plays. Times in seconds, frequencies in Hz.

    Attributes:
      formants: peaks of the spectral envelope: centre, width in octaves, level.
      ratios: frequencies of the partials over the fundamental; empty: all harmonics.
      attack: time constant of the rise.
      decay: time constant of the fall; 0 holds the note.
      damping: how much faster than the lowest partial the others fall, per unit of ratio.
      glide: excess of the pitch at the onset, gone within about 40 ms.
      vibrato: depth (relative) and rate of the pitch's wavering.
      tremolo: depth (0..1) and rate of the loudness' wavering.
      noise: level relative to the partials, lower and upper edge of the band.
      noise_decay: time constant of the noise; 0: like the partials.
      strum: pitches (relative) that follow one another at every onset.
    """

    formants: tuple[tuple[float, float, float], ...]
    ratios: tuple[float, ...] = ()
    attack: float = 0.005
    decay: float = 0.0
    damping: float = 0.0
    glide: float = 0.0
    vibrato: tuple[float, float] = (0.0, 5.0)
    tremolo: tuple[float, float] = (0.0, 5.0)
    noise: tuple[float, float, float] = (0.0, 100.0, 1000.0)
    noise_decay: float = 0.0
    strum: tuple[float, ...] = (1.0,)


TIMBRES: dict[str, Timbre] = {
    "accordion": Timbre(
        formants=((900, 0.8, 1.0), (3200, 0.5, 0.5)), attack=0.03, tremolo=(0.6, 6.5)
    ),
    "bell": Timbre(
        formants=((500, 0.6, 0.4), (4300, 0.5, 1.0)),
        ratios=(1.0, 2.0, 2.41, 3.01, 4.53, 5.42, 6.79, 8.21, 10.3, 12.9, 16.1, 20.7, 25.2),
        attack=0.002,
        decay=0.5,
    ),
    "drum": Timbre(
        formants=((300, 0.8, 1.0),),
        ratios=(1.0, 1.59, 2.14, 2.65),
        attack=0.002,
        decay=0.08,
        glide=0.4,
        noise=(0.8, 80, 900),
    ),
    "gong": Timbre(
        formants=((1700, 0.9, 1.0),),
        ratios=(1.0, 1.52, 2.27, 2.9, 3.71, 4.62, 5.43, 6.91, 8.13, 9.77),
        attack=0.2,
        decay=0.8,
        tremolo=(0.25, 9.0),
        noise=(0.7, 900, 4500),
    ),
    "guitar": Timbre(
        formants=((350, 0.9, 1.0), (1500, 0.6, 0.5)),
        attack=0.003,
        decay=0.35,
        damping=0.35,
        noise=(0.9, 3500, 7000),
        noise_decay=0.012,
    ),
    "harp": Timbre(
        formants=((450, 0.7, 0.8), (2100, 0.3, 1.0)),
        attack=0.004,
        decay=0.16,
        strum=(0.8, 1.0, 1.26),
    ),
    "horn": Timbre(formants=((650, 0.6, 1.0),), attack=0.09, vibrato=(0.025, 5.0)),
    "maracas": Timbre(
        formants=((900, 0.6, 1.0),),
        attack=0.01,
        tremolo=(0.98, 10.0),
        noise=(3.0, 3800, 7600),
    ),
    "whistle": Timbre(
        formants=((2900, 0.2, 1.0),),
        attack=0.02,
        tremolo=(0.9, 26.0),
        vibrato=(0.01, 26.0),
        noise=(0.35, 2200, 4500),
    ),
    "xylophone": Timbre(
        formants=((450, 0.8, 0.6), (1900, 0.9, 1.0), (4500, 0.6, 0.7)),
        ratios=(1.0, 3.93, 9.24, 16.1),
        attack=0.001,
        decay=0.1,
        noise=(0.8, 1200, 3000),
        noise_decay=0.01,
    ),
    "bagpipe": Timbre(
        formants=((1350, 0.35, 1.0), (5200, 0.35, 0.6)), attack=0.015, strum=(1.0, 1.5)
    ),
    "saw": Timbre(
        formants=((450, 1.0, 1.0), (3300, 0.5, 0.5)),
        ratios=(1.0, 2.76, 7.4),
        attack=0.13,
        vibrato=(0.06, 6.0),
        tremolo=(0.3, 6.0),
    ),
}
"""The categories, in the order of their labels."""


class Sound(NamedTuple):
    """A second or more of one instrument.

    Attributes:
      waveform: int16 at `SAMPLE_RATE`.
      pitches: fundamental of each note, one to three a second, in Hz.
    """

    waveform: Int16[np.ndarray, " T"]
    pitches: Float[np.ndarray, " notes"]


def voice(label: int, rng: np.random.Generator) -> Timbre:
    """One instrument of the category numbered `label`: its timbre, bent a little."""
    timbre = list(TIMBRES.values())[label]
    shift = 2 ** rng.uniform(-0.15, 0.15)
    pace = 2 ** rng.uniform(-0.25, 0.25)
    level, low, high = timbre.noise
    return replace(
        timbre,
        formants=tuple(
            (f * shift, w * 2 ** rng.uniform(-0.2, 0.2), g * 2 ** rng.uniform(-0.4, 0.4))
            for f, w, g in timbre.formants
        ),
        attack=timbre.attack * 2 ** rng.uniform(-0.4, 0.4),
        decay=timbre.decay * 2 ** rng.uniform(-0.4, 0.4),
        vibrato=(timbre.vibrato[0], timbre.vibrato[1] * pace),
        tremolo=(timbre.tremolo[0], timbre.tremolo[1] * pace),
        noise=(level * 2 ** rng.uniform(-0.4, 0.4), low * shift, high * shift),
    )


def play(timbre: Timbre, rng: np.random.Generator) -> Sound:
    """A phrase of one to three notes in background noise, at a random loudness.

    The rest of the second is a pause: two instruments of a mixture are seldom heard together from
    end to end.
    """
    count = int(rng.integers(1, 4))
    pitches = np.exp(rng.uniform(*np.log(PITCH_RANGE), count))
    length = rng.uniform(*PHRASE_SECONDS)
    begin = rng.uniform(0, CLIP_SECONDS - length)
    onsets = begin + length * (np.arange(count) + rng.uniform(0, 0.4, count)) / count
    ends = np.append(onsets[1:], begin + length)
    hiss = _coloured(rng, band=timbre.noise[1:]) if timbre.noise[0] else None
    clean = np.zeros(_SAMPLES, np.float32)
    for pitch, onset, end in zip(pitches, onsets, ends, strict=True):
        level = 10 ** (rng.uniform(-3, 3) / 20)
        for i, relative in enumerate(timbre.strum):
            start = int((onset + 0.06 * i) * SAMPLE_RATE)
            stop = _SAMPLES if timbre.decay else int(end * SAMPLE_RATE)
            if start < stop:
                note = _note(timbre, pitch * relative, stop - start, hiss, rng)
                clean[start:stop] += level * note
    clean *= np.clip((begin + length - np.arange(_SAMPLES) / SAMPLE_RATE) / 0.03, 0, 1)
    clean /= np.sqrt(np.mean(clean**2)) + 1e-9
    slope = rng.uniform(0, 2)
    noise = _coloured(rng, slope=slope) * 10 ** (-rng.uniform(*SNR_RANGE) / 20)
    mixture = (clean + noise) * FULL_RMS * 10 ** (rng.uniform(*GAIN_RANGE) / 20)
    mixture /= max(1.0, np.abs(mixture).max())
    return Sound(np.round(mixture * 32767).astype(np.int16), pitches)


def perform(timbre: Timbre, rng: np.random.Generator, seconds: int) -> Sound:
    """So many seconds of `play`, one behind the other."""
    parts = [play(timbre, rng) for _ in range(seconds)]
    return Sound(*map(np.concatenate, zip(*parts, strict=True)))


def _note(
    timbre: Timbre,
    pitch: float,
    samples: int,
    hiss: Float[np.ndarray, " T"] | None,
    rng: np.random.Generator,
) -> Float[np.ndarray, " n"]:
    """A note of the given length, its partials at a root mean square of about 1 at full level."""
    t = np.arange(samples, dtype=np.float32) / SAMPLE_RATE
    depth, rate = timbre.vibrato
    bend = 1 + timbre.glide * np.exp(-t / 0.015)
    bend += depth * np.sin(2 * np.pi * rate * t + rng.uniform(0, 6.28))
    phase = 2 * np.pi * pitch / SAMPLE_RATE * np.cumsum(bend, dtype=np.float64)
    ratios = np.array(timbre.ratios or np.arange(1, _HIGHEST / pitch))
    ratios = ratios[ratios * pitch < _HIGHEST]
    levels = sum(
        gain * np.exp(-0.5 * (np.log2(ratios * pitch / centre) / width) ** 2)
        for centre, width, gain in timbre.formants
    )
    levels = levels / np.sqrt(np.mean(levels**2 + 1e-12) * len(levels) / 2)
    rise = 1 - np.exp(-t / timbre.attack)
    tone = np.zeros(samples, np.float32)
    for ratio, level in zip(ratios, levels, strict=True):
        if level > 0.01:
            angle = (ratio * phase + rng.uniform(0, 6.28)) % (2 * np.pi)
            partial = level * np.sin(angle.astype(np.float32))
            if timbre.damping:
                partial *= np.exp(-t * (timbre.damping * (ratio - 1) / timbre.decay))
            tone += partial
    fall = np.exp(-t / timbre.decay) if timbre.decay else np.minimum(1, (t[-1] - t) / 0.03)
    shape = rise * fall
    depth, rate = timbre.tremolo
    if depth:
        wave = 0.5 + 0.5 * np.sin(2 * np.pi * rate * t + rng.uniform(0, 6.28))
        shape = shape * (1 - depth + depth * wave**2)
    note = tone * shape
    if hiss is not None:
        burst = rise * np.exp(-t / timbre.noise_decay) if timbre.noise_decay else shape
        note += timbre.noise[0] * hiss[:samples] * burst
    return note


def _coloured(
    rng: np.random.Generator, *, slope: float = 0.0, band: tuple[float, float] | None = None
) -> Float[np.ndarray, " T"]:
    """Noise of unit root mean square, its power falling as `frequency ** -slope`, cut to `band`."""
    frequency = np.fft.rfftfreq(_SAMPLES, 1 / SAMPLE_RATE)
    gain = np.maximum(frequency, 60.0) ** (-slope / 2)
    if band:
        low, high = band
        gain = gain / (1 + (low / np.maximum(frequency, 1)) ** 8) / (1 + (frequency / high) ** 8)
    real, imaginary = rng.normal(size=(2, len(frequency)))
    spectrum = gain * (real + 1j * imaginary)
    noise = np.fft.irfft(spectrum, _SAMPLES)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)
