"""Sounds from off screen: no ground truth, silent for the maps, and a false alarm where lit."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from avloc.evaluation import ceiling, evaluate, get
from avloc.types import Batch
from tests.evaluation.test_evaluator import GRID, NAMES, clips, predictor, split

HALVES = [[0, 0, 1, 0.5], [0, 0.5, 1, 1]]
NOWHERE = [0, 0, 0, 0]


def two_scenes():
    """A cello sounds on the left, a flute is silent on the right, a tuba is heard off screen."""
    batch = clips([[*HALVES, NOWHERE]] * 2, [[0, 1, 2]] * 2, [[True, False, True]] * 2)
    return batch._replace(
        offscreen=np.array([[False, False, True]] * 2),
        level_db=np.array([[-20, -np.inf, -29]] * 2, np.float32),
    )


def right_maps(count=2):
    maps = np.zeros((count, *GRID, 3), np.float32)
    maps[:, :, :4, 0] = 1
    return maps


def score(maps, batch, protocol="dsol-synthetic"):
    return evaluate(predictor(maps), [batch], get(protocol), names=NAMES, draws=50)


def test_a_map_that_lights_up_is_a_false_alarm():
    batch, maps = two_scenes(), right_maps()
    dark = score(maps, batch)
    assert (dark.evaluated, dark.reasons) == (2, {})
    assert dark.metrics["CIoU@0.3"]["value"] == 100 and dark.metrics["NSA"]["value"] == 100
    assert dark.metrics["off-screen false alarms"]["value"] == 0
    assert dark.metrics["off-screen AUROC"]["value"] == 1
    assert dark.items[0]["offscreen"] == "tuba dark 0.0000"
    assert dark.items[0]["sounding"] == "cello" and "tuba" not in dark.items[0]["objects"]

    # One cell is enough; over the box of the cello it is no hit.
    maps[:, 2, 2, 2] = 0.5
    lit = score(maps, batch)
    assert lit.metrics["off-screen false alarms"]["value"] == 100
    assert lit.metrics["CIoU@0.3"]["value"] == 100
    assert 99 < lit.metrics["NSA"]["value"] < 100
    # A pixel's centre lies half a pixel, of 28 a cell, beside the cell's: 0.5 (1 - 1/56)^2.
    assert lit.items[1]["offscreen"] == "tuba lit 0.4823"
    maps[1, 2, 2, 2] = 0.1
    assert score(maps, batch).metrics["off-screen false alarms"]["value"] == 50


def test_the_silent_tau_of_the_protocol_decides():
    """0.15 reaches a tenth of the largest value, and not the absolute 0.2."""
    maps = right_maps()
    maps[..., 2] = 0.15
    for protocol, expected in (("paper", 100), ("dsol-synthetic", 0)):
        found = score(maps, two_scenes(), protocol).metrics
        assert found["off-screen false alarms"]["value"] == expected


def test_a_category_that_is_in_the_picture_as_well_is_no_false_alarm():
    batch = two_scenes()._replace(labels=np.array([[0, 1, 0], [0, 1, 1]], np.int32))
    maps = right_maps()
    found = score(maps, batch)
    # The flute is seen and silent, and heard from elsewhere: its map must stay dark.
    assert [row["offscreen"] for row in found.items] == ["", "flute dark 0.0000"]
    maps[1, ..., 1] = 1
    assert score(maps, batch).metrics["off-screen false alarms"]["value"] == 100


def test_peaks_of_what_is_seen_and_what_is_not_as_scikit_learn_ranks_them():
    count = 12
    rng = np.random.default_rng(0)
    flat = rng.random((count, 3)).astype(np.float32)
    one = two_scenes()
    batch = Batch(*(None if x is None else np.repeat(x[:1], count, 0) for x in one))
    batch = batch._replace(
        index=np.arange(count), video=np.arange(count) // 2, sounding=batch.sounding.copy()
    )
    batch.sounding[8:, 2] = False  # nothing from off screen: these scenes do not count
    batch.offscreen[8:] = False
    maps = np.broadcast_to(flat[:, None, None], (count, *GRID, 3))
    found = score(maps, batch)
    expected = roc_auc_score([1] * 8 + [0] * 8, np.r_[flat[:8, 0], flat[:8, 2]])
    row = found.metrics["off-screen AUROC"]
    assert row["value"] == pytest.approx(expected)
    assert row["low"] < row["value"] < row["high"]
    # The other AUROC is of objects in the picture: cello against flute.
    expected = roc_auc_score([1] * 12 + [0] * 12, np.r_[flat[:, 0], flat[:, 1]])
    assert found.metrics["AUROC"]["value"] == pytest.approx(expected)
    parts = evaluate(
        predictor(maps), split(batch, 5, True), get("dsol-synthetic"), names=NAMES, draws=50
    )
    assert parts.metrics == found.metrics and parts.items == found.items


def test_what_is_heard_counts_on_screen_and_off():
    maps = right_maps()
    heard = np.array([[0.9, 0.2, 0.6], [0.9, 0.7, 0.3]], np.float32)
    found = evaluate(
        predictor(maps, heard=heard), [two_scenes()], get("ier"), names=NAMES, draws=20
    )
    value = {name: row["value"] for name, row in found.metrics.items()}
    assert value["recall"] == value["precision"] == 3 / 4
    assert value["quiet recall"] == 1 / 2
    # At 0.6 three of four are right, at 0.3 four of five.
    assert value["quiet recall at precision 0.8"] == 1
    assert found.items[1]["heard"] == (
        "cello sounds at 0.0 dB 0.9000; flute silent 0.7000; tuba sounds at -9.0 dB 0.3000"
    )


def test_scenes_without_boxes_are_still_heard():
    batch = two_scenes()._replace(boxes=np.zeros((2, 3, 4), np.float32))
    found = score(right_maps(), batch)
    assert found.reasons == {"a sounding object has no box": 2}
    assert found.metrics.keys() == {
        "mAP", "all heard most", "recall", "precision", "macro precision", "macro recall",
        "quiet recall", "quiet recall at precision 0.8",
    }  # fmt: skip


def test_only_off_screen_sound_is_nothing_to_find():
    batch = two_scenes()
    batch.sounding[:, 0] = False
    assert score(right_maps(), batch).reasons == {"no object is marked as sounding": 2}


def test_the_ceiling_knows_what_is_off_screen():
    found = evaluate(ceiling(GRID, 3), [two_scenes()], get("paper"), names=NAMES, draws=20)
    assert found.metrics["off-screen false alarms"]["value"] == 0
    assert found.metrics["mAP"]["value"] == found.metrics["off-screen AUROC"]["value"] == 1
