"""A set is measured as it comes: its maps are not kept, and where they must wait, it is on disk."""

import gc
import weakref

import numpy as np
import pytest

from avloc.evaluation import evaluate, get, random_map
from avloc.evaluation.measuring import measure_all
from tests.evaluation.test_evaluator import GRID, NAMES, scenes, split


@pytest.mark.parametrize("protocol", ["dsol-synthetic", "paper", "source-wise", "lvs-median"])
def test_maps_are_let_go(protocol):
    """Of twelve batches never more than the last two are alive."""
    alive, most = set(), 0
    gc.collect()
    gc.freeze()  # what was there before need not be looked at at each batch
    made = random_map(GRID, 3)

    def predict(batch):
        nonlocal most
        gc.collect()
        most = max(most, len(alive))
        prediction = made(batch)
        maps, localization = prediction.maps.copy(), prediction.localization.copy()
        for array in (maps, localization):
            alive.add(id(array))
            weakref.finalize(array, alive.discard, id(array))
        return prediction._replace(maps=maps, localization=localization)

    measured = measure_all(predict, split(scenes(24), 2, False), get(protocol), None, 3)
    gc.unfreeze()
    assert len(measured.scored.index) == 24
    assert most <= 4


def test_maps_that_wait_on_disk_are_the_same(monkeypatch):
    whole = evaluate(random_map(GRID, 3), [scenes(7)], get("paper"), names=NAMES, draws=20)
    monkeypatch.setattr("avloc.evaluation.measuring._WAITING", 1)
    parts = evaluate(
        random_map(GRID, 3), split(scenes(7), 2, True), get("paper"), names=NAMES, draws=20
    )
    assert parts.metrics == whole.metrics and parts.items == whole.items


def test_the_largest_value_is_of_scored_items():
    """A map of an item without boxes sets no threshold."""
    batch = scenes(2)
    batch = batch._replace(boxes=batch.boxes * np.array([1, 0])[:, None, None])
    made = random_map(GRID, 3)

    def predict(batch):
        prediction = made(batch)
        return prediction._replace(maps=prediction.maps * np.array([1, 100])[:, None, None, None])

    both = evaluate(predict, [batch], get("paper"), names=NAMES, draws=2)
    alone = evaluate(made, list(split(batch, 1, False))[:1], get("paper"), names=NAMES, draws=2)
    assert both.evaluated == 1
    assert both.items[0]["ciou"] == alone.items[0]["ciou"]
