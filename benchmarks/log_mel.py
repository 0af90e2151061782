"""Log-mel spectrograms of a batch against librosa in a loop."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Int16
from threadpoolctl import threadpool_limits

from avloc.data_pipelines.media.audio import log_mel, mel_spectrogram
from benchmarks.row import Equality, Row, in_turn
from tests.data_pipelines import librosa_loop


def tones(clips: int) -> Int16[np.ndarray, "clips 16000"]:
    """One tone each, in noise, with different pitches and loudnesses."""
    rng, time = np.random.default_rng(0), np.arange(16000) / 16000
    pitch, loudness = rng.uniform(100, 6000, (clips, 1)), rng.uniform(0.05, 0.6, (clips, 1))
    sound = loudness * np.sin(2 * np.pi * pitch * time) + rng.normal(0, 0.03, (clips, 16000))
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def rows(quick: bool) -> Iterator[Row]:
    """256 clips of a second."""
    clips = 4 if quick else 256
    waveforms = tones(clips)
    compiled = jax.jit(log_mel)

    def loop() -> None:
        # Several threads only get in each other's way: a clip is too short for them.
        with threadpool_limits(1):
            for clip in waveforms:
                librosa_loop.log_mel(clip)

    times = in_turn({"ours": lambda: compiled(waveforms), "librosa": loop}, rounds=7)
    yield Row(
        f"log-mel of {clips} clips",
        "librosa in a loop",
        times["ours"],
        times["librosa"],
        target=2,
        equality=Equality("mel bins, of the clip's largest", _difference(waveforms), 1e-6),
        amount=clips,
        unit="clips",
        note="librosa with one BLAS thread, its fastest",
    )


def _difference(waveforms: Int16[np.ndarray, "clips 16000"]) -> float:
    """Before the dB step: some of millions of bins are nearly empty, and dB means nothing there.

    The largest difference, as a share of the clip's largest value.
    """
    ours = np.asarray(jax.jit(mel_spectrogram)(waveforms))
    theirs = np.stack([librosa_loop.mel(clip) for clip in waveforms])
    return float((np.abs(ours - theirs).max((1, 2)) / theirs.max((1, 2))).max())
