"""What is named in scenes, against counts made by hand."""

from functools import partial

import numpy as np
import pytest

from avloc.clustering import CategoryMap
from avloc.evaluation import centred_box, comparison, evaluate, get
from avloc.evaluation.bootstrap import interval
from avloc.evaluation.named import naming
from tests.evaluation.test_evaluator import GRID, predictor, scenes
from tests.evaluation.test_perception import NAMES, mixtures

RESAMPLE = partial(interval, draws=40, seed=0)

# Cello and flute sound; then a cello in the picture and a flute off screen; a tuba alone; two
# cellos, one of them off screen.
LABELS = [[0, 1, -1], [0, 1, -1], [2, -1, -1], [0, 0, -1]]
OFFSCREEN = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 1, 0]], bool)
SCORES = [
    [0.9, 0.1, 0.0, 0.0],  # one right, one missed
    [0.8, 0.7, 0.0, 0.0],  # one right; the flute is not in the picture
    [0.0, 0.0, 0.2, 0.3],  # the threshold itself is enough; the drum is silent
    [0.5, 0.0, 0.0, 0.0],  # right, although one sounds off screen as well
]


def test_by_hand():
    items = mixtures(SCORES, LABELS, offscreen=OFFSCREEN)._replace(video=np.arange(4))
    found, told = naming(items, NAMES, 0.2, RESAMPLE)
    # Six are named, of which four are right; five sound in the picture.
    assert found["named precision"]["value"] == pytest.approx(4 / 6)
    assert found["named recall"]["value"] == pytest.approx(4 / 5)
    assert all(row["low"] < row["value"] <= row["high"] for row in found.values())
    assert told == [
        "cello right 0.9000; flute missed 0.1000",
        "cello right 0.8000; flute off screen 0.7000",
        "tuba right 0.2000; drum wrong 0.3000",
        "cello right 0.5000",
    ]
    # A lower threshold names the flute of the first, a higher one hardly anything.
    found, _ = naming(items, NAMES, 0.1, RESAMPLE)
    assert [row["value"] for row in found.values()] == pytest.approx([5 / 7, 1])
    found, _ = naming(items, NAMES, 0.85, RESAMPLE)
    assert [row["value"] for row in found.values()] == pytest.approx([1, 1 / 5])


def test_the_sound_alone_does_not_count():
    items = mixtures(SCORES, LABELS, offscreen=OFFSCREEN)
    deaf = items._replace(heard=np.zeros_like(items.heard))
    assert naming(deaf, NAMES, 0.2, RESAMPLE) == naming(items, NAMES, 0.2, RESAMPLE)


def test_undefined_values_are_left_out():
    items = mixtures(SCORES, LABELS, offscreen=OFFSCREEN)
    nothing, told = naming(items, NAMES, 0.95, RESAMPLE)
    assert list(nothing) == ["named recall"] and nothing["named recall"]["value"] == 0
    assert told[3] == "cello missed 0.5000"
    outside = mixtures([[0.3, 0, 0, 0]] * 2, [[0], [1]], offscreen=[[True], [True]])
    found, told = naming(outside, NAMES, 0.2, RESAMPLE)
    assert list(found) == ["named precision"] and found["named precision"]["value"] == 0
    assert told == ["cello off screen 0.3000", "cello wrong 0.3000"]
    blind = items._replace(scores=np.zeros((4, 0), np.float32))
    assert naming(blind, NAMES, 0.2, RESAMPLE) == ({}, [""] * 4)


def test_a_sound_of_unknown_category_leaves_its_item_out():
    sounding = np.array(LABELS) >= 0
    sounding[0, 2] = True
    items = mixtures(SCORES, LABELS, offscreen=OFFSCREEN, sounding=sounding)
    found, told = naming(items, NAMES, 0.2, RESAMPLE)
    assert [row["value"] for row in found.values()] == pytest.approx([3 / 5, 1])
    assert told[0] == "" and told[1] != ""
    # Nothing that sounds is annotated: nobody knows what would be right.
    silent = items._replace(sounding=np.zeros((4, 3), bool), offscreen=np.zeros((4, 3), bool))
    assert naming(silent, NAMES, 0.2, RESAMPLE) == ({}, [""] * 4)


def test_every_category_sounds():
    found, _ = naming(mixtures([[0.9, 0.1]], [[0, 1]]), NAMES[:2], 0.2, RESAMPLE)
    assert [row["value"] for row in found.values()] == [1, 1 / 2]


def test_a_category_is_as_sure_as_its_surest_cluster():
    """As `localize` does: 0.15 and 0.1 of two clusters of one category do not reach 0.2."""
    batch = scenes(2)  # two of three categories sound
    cello = int(np.flatnonzero((batch.labels[:, :2] == 0).any(1))[0])
    maps = np.zeros((2, *GRID, 4), np.float32)
    maps[cello, 0, 0] = 0.15, 0.0, 0.0, 0.1
    merge = CategoryMap((0, 1, 2, 0), NAMES[:3])
    found = evaluate(
        predictor(maps), [batch], get("paper"), merge, NAMES[:3], named_from=0.2, draws=20
    )
    assert found.metrics["named recall"]["value"] == 0
    assert found.undefined["named precision"] == "nothing is named"
    assert "cello missed 0.1500" in found.items[cello]["named"]


def test_what_the_table_says():
    batch = scenes(4)
    rows = {
        "ours": evaluate(
            predictor(np.zeros((4, *GRID, 3), np.float32)),
            [batch],
            get("paper"),
            names=NAMES[:3],
            named_from=0.25,
            draws=20,
        ),
        "centred box": evaluate(
            centred_box(GRID, 3), [batch], get("paper"), names=NAMES[:3], named_from=0.25, draws=20
        ),
    }
    table = comparison(rows)
    line = {row[0]: dict(zip(table.columns, map(str, row), strict=True)) for row in table.rows}
    assert line["ours"]["named precision"] == "not scored"  # it names nothing
    assert "named precision: not scored: nothing is named (ours)." in table.note
    assert line["ours"]["named recall"].startswith("0.000")
    # 0.5 for everything: all three are named, two of them sound.
    assert line["centred box"]["named precision"].startswith("0.667")
    assert line["centred box"]["named recall"].startswith("1.000")
    assert "Named: score of 0.25 or more, as localize." in table.note
    assert "Named" not in comparison(rows, wanted=lambda name: name == "mAP").note


def test_without_a_threshold_nothing_is_named():
    found = evaluate(centred_box(GRID, 3), [scenes(4)], get("paper"), names=NAMES[:3], draws=20)
    assert not {"named precision", "named recall"} & set(found.metrics)
    assert "named" not in found.items[0] and found.to_json()["named_from"] is None
