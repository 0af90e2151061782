"""Videos to build a data set from, made from a seed, with as much detail as recorded ones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float, UInt8

FRAME_RATE = 8
SOUND_RATE = 16000


def texture(height: int, width: int, seed: int) -> UInt8[np.ndarray, "h w 3"]:
    """Noise whose amplitude falls as one over frequency, as in photographs."""
    rng = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    fall = 1 / np.maximum(np.hypot(down, across), 1 / max(height, width))
    shared, own = (
        np.fft.irfft2(np.fft.rfft2(rng.normal(size=(c, height, width))) * fall, (height, width))
        for c in (1, 3)
    )
    noise = _unit(shared) + 0.3 * _unit(own)
    return np.clip(128 + 50 * noise, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def _unit(values: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "c h w"]:
    return values / values.std((1, 2), keepdims=True)


def record(path: Path, seconds: int, seed: int, size: tuple[int, int] = (640, 360)) -> None:
    """Writes an mp4 of `size` (width, height): a camera that pans over a texture, and noise."""
    width, height = size
    scene = texture(height, 2 * width, seed)
    sound = np.random.default_rng(seed).normal(0, 0.1, (1, seconds * SOUND_RATE))
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "18"})
        pictures.width, pictures.height, pictures.pix_fmt = width, height, "yuv420p"
        voice = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        count = seconds * FRAME_RATE
        for i in range(count):
            left = i * width // count
            shot = np.ascontiguousarray(scene[:, left : left + width])
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(shot)))
        container.mux(pictures.encode())
        for start in range(0, sound.shape[1], 1024):
            part = np.ascontiguousarray(sound[:, start : start + 1024], np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = SOUND_RATE, start
            frame.time_base = Fraction(1, SOUND_RATE)
            container.mux(voice.encode(frame))
        container.mux(voice.encode())
