"""Librosa's log-mel of one clip: what the batched spectrogram must equal."""

import warnings

import librosa
import numpy as np


def mel(waveform: np.ndarray) -> np.ndarray:
    """Magnitude mel spectrogram of an int16 waveform, `[frames, mels]`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return librosa.feature.melspectrogram(
            y=waveform.astype(np.float32) / 32768,
            sr=16000,
            n_fft=160,
            hop_length=80,
            window="hann",
            center=True,
            pad_mode="constant",
            power=1.0,
            n_mels=64,
            fmin=0,
            fmax=8000,
        ).T


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """The same in dB, at most 80 under its maximum."""
    return librosa.power_to_db(mel(waveform), ref=1.0, amin=1e-10, top_db=80)
