"""A method that needs no training, for tests: it sees red and hears pitch."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from avloc.clustering.assignment import CategoryMap
from avloc.inference.model import Model
from avloc.types import Prediction

CELLS = 12
HIGH = 1000.0
"""From this pitch on, in Hz, a sound is high."""


class RedBlobs:
    """Four clusters: 0 and 2 are where red is and sound when the sound is high, 1 is where blue is
    and sounds when it is low, 3 is nowhere and never sounds."""

    def predict(self, variables, aux, batch):
        image = batch.image.astype(jnp.float32) / 255
        size, side = len(image), image.shape[1] // CELLS
        cells = image.reshape(size, CELLS, side, CELLS, side, 3).mean((2, 4))
        red = jnp.clip(cells[..., 0] - cells[..., 1], 0, 1)
        blue = jnp.clip(cells[..., 2] - cells[..., 1], 0, 1)
        spectrum = jnp.abs(jnp.fft.rfft(batch.waveform.astype(jnp.float32)))
        high = (spectrum.argmax(-1) >= HIGH) * variables["gain"]
        low = (spectrum.argmax(-1) < HIGH) * variables["gain"]
        maps = jnp.stack([0.6 * red, blue, 0.4 * red, 0 * red], -1)
        scores = jnp.stack([0.3 * high, low, 0.6 * high, 0 * high], -1)
        return Prediction(maps, scores, scores, cells.max(-1), jnp.zeros(size, int))


def red_blob_model(names=("drum", "flute", "harp"), of_cluster=(0, 1, 0, 2), gain=1.0) -> Model:
    """Categories: drum (clusters 0 and 2), flute (1) and harp (3)."""
    config = ConfigDict({"image_size": 96, "inference": {"sounding": 0.5}})
    variables = {"gain": jnp.float32(gain)}
    categories = CategoryMap(of_cluster, names)
    return Model(config, RedBlobs(), variables, {}, categories, checkpoint="none")


def red_picture(path: Path, height: int, width: int) -> Path:
    """A grey picture file with a red block."""
    image = np.full((height, width, 3), 128, np.uint8)
    image[30:60, 40:80] = (250, 10, 10)
    Image.fromarray(image).save(path)
    return path


class SplitsByPitch(RedBlobs):
    """Takes sounds apart: clusters 0 and 2 have half of what is high each, 1 has what is low."""

    window = 8000

    def separate(self, variables, aux, batch, among):
        sound = batch.waveform.astype(jnp.float32) / 32768
        spectrum = jnp.fft.rfft(sound)
        high = jnp.fft.rfftfreq(sound.shape[-1], 1 / 16000) >= HIGH
        parts = [jnp.fft.irfft(spectrum * keep, sound.shape[-1]) for keep in (high / 2, ~high)]
        parts = jnp.stack([parts[0], parts[1], parts[0], 0 * sound], axis=1)
        return jnp.where(among[..., None], parts, 0)


def splitting_model(names=("drum", "flute", "harp")) -> Model:
    """As `red_blob_model`, and it can take sounds apart."""
    blobs = red_blob_model(names)
    return Model(
        blobs.config, SplitsByPitch(), blobs._variables, {}, blobs.categories, checkpoint="none"
    )
