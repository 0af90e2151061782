"""A method with a visual backbone that stands still, small enough to compile at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from tests.records import make_dataset, make_records
from tests.training.line import Line
from tests.training.line import settings as plain

SIDE = 8


def settings(**fields):
    """`Line`'s config with two stored views of each picture."""
    config = plain(**{"stored_views": 2, "image_size": SIDE} | fields)
    config.model.frozen = ("visual",)
    return config


def pooled(images, weights):
    """By hand, what the backbone makes of pictures: the mean colour of each quarter, weighted."""
    quarters = np.asarray(images, np.float32).reshape(len(images), 2, SIDE // 2, 2, SIDE // 2, 3)
    return quarters.mean(axis=(2, 4)) / 255 * np.asarray(weights)


class Still(Line):
    """`Line` on the backbone's maps of quarters."""

    def init(self, key, batch):
        variables, aux = super().init(key, batch)
        weights = {"w": jax.random.uniform(key, (3,), minval=0.5)}
        return {**variables, "params": {**variables["params"], "visual": weights}}, aux

    def look(self, variables, aux, batch):
        size = batch.image.shape[1] // 2
        image = batch.image.reshape(len(batch.image), 2, size, 2, size, 3)
        return image.mean(axis=(2, 4)) / 255 * variables["params"]["visual"]["w"]

    def loss(self, variables, aux, batch, key):
        maps = batch.features
        maps = self.look(variables, aux, batch) if maps is None else maps.astype(jnp.float32)
        return super().loss(variables, aux, batch._replace(image=255 * maps), key)

    def relabel(self, state, scan, key):
        rows = scan(seen, state, "train")
        aux = {"labels": rows.argmax(axis=-1), "target": jax.random.uniform(key)}
        return state._replace(aux=aux)


def seen(variables, aux, batch):
    """Mean colour of each stored map, to be scanned."""
    return batch.features.astype(jnp.float32).mean(axis=(1, 2))


def stored_dataset(folder: Path, count: int = 40, fingerprint: str = "abc") -> SimpleNamespace:
    """Splits in memory that have a folder, as built ones do."""
    made = make_dataset(
        train=make_records(count, frames=2, size=16), scenes=make_records(12, videos=2)
    )
    made.info = replace(made.info, fingerprint=fingerprint)
    made.folder = folder
    return made
