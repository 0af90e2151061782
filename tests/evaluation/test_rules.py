"""What the rules make of a set: sources, levels, votes, the median and its ceiling."""

from dataclasses import replace

import numpy as np
import pytest

from avloc.evaluation import PROTOCOLS, evaluate, get
from avloc.evaluation.baselines import DEAF, model_free
from tests.evaluation.test_evaluator import GRID, NAMES, clips, predictor, scenes, split

SIZE = (224, 224)


def halves(share):
    """`[ymin, xmin, ymax, xmax]` of a box of so much of the width."""
    return [0, 0, 1, share]


def bound(boxes, protocol, grid=SIZE):
    """The ceiling of clips with one box each: the score of each item, and the metrics."""
    batch = clips([[box] for box in boxes], [[0]] * len(boxes), [[True]] * len(boxes))
    found = evaluate(model_free(grid, 1, protocol)["ceiling"], [batch], protocol, draws=2)
    return [row["iou"] for row in found.items], found.metrics


def test_the_median_rule_cannot_give_much_on_small_boxes():
    """25,087 of 50,176 pixels are predicted, so that s gives min(s, 25087) / max(s, 25087)."""
    columns = [14, 28, 56, 57, 112, 168, 224]
    ious, metrics = bound([halves(c / 224) for c in columns], get("lvs-median"))
    sizes = 224 * np.array(columns)
    expected = np.minimum(sizes, 25087) / np.maximum(sizes, 25087)
    assert ious == pytest.approx(expected.tolist(), abs=1e-9)
    # 0.5 is reached from a quarter of the area on, up to all of it but for a pixel.
    assert [iou >= 0.5 for iou in ious] == [False, False, True, True, True, True, False]
    assert metrics["IoU@0.5"]["value"] == pytest.approx(100 * 4 / 7)


def test_the_median_rule_caps_a_set_whatever_the_maps():
    """Of boxes from 5 to 45 % of the area, half are under a quarter: 50 % is all that maps get."""
    shares = np.linspace(0.05, 0.45, 40)
    boxes = [halves(share) for share in shares]
    _, best = bound(boxes, get("lvs-median"))
    assert best["IoU@0.5"]["value"] == pytest.approx(50)
    batch = clips([[box] for box in boxes], [[0]] * 40, [[True]] * 40)
    rng = np.random.default_rng(0)
    for maps in (rng.random((40, *GRID)), np.tile(np.linspace(1, 0, GRID[1]), (40, GRID[0], 1))):
        maps = (maps + 1e-3 * rng.random(maps.shape)).astype(np.float32)
        found = evaluate(predictor(maps[..., None], maps), [batch], get("lvs-median"), draws=2)
        assert found.metrics["IoU@0.5"]["value"] <= 50
    # The same boxes under a rule that follows the map.
    assert bound(boxes, get("half-maximum"))[1]["IoU@0.5"]["value"] == 100


def test_ceiling_under_votes_and_the_median():
    """Two annotators agree on 20 columns, one adds 20: 112 columns are predicted, those first."""
    boxes = [[halves(20 / 224), halves(40 / 224)]]
    batch = clips(boxes, [[0, 0]], [[True, True]])
    rules = get("lvs-flickr")
    found = evaluate(model_free(SIZE, 1, rules)["ceiling"], [batch], rules, draws=2)
    weight = 224 * (20 + 20 / 2)
    assert found.items[0]["iou"] == pytest.approx(weight / (weight + 25087 - 224 * 40), abs=1e-9)
    assert set(found.metrics) == {"cIoU@0.5", "AUC"}  # votes are no boxes to be found
    found = evaluate(
        model_free((256, 256), 1, get("c2f-flickr"))["ceiling"], [batch], get("c2f-flickr"), draws=2
    )
    assert found.items[0]["iou"] == 1


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_model_free_lines_stand_beside_every_protocol(name):
    """On the same items; at the rule's own size the ceiling is 1, unless it is a median."""
    protocol, batch = get(name), scenes(6)
    rows = {
        row: evaluate(predict, split(batch, 4, True), protocol, names=NAMES, draws=2)
        for row, predict in model_free(GRID, 3, protocol).items()
    }
    deaf = DEAF if get(name).task == "multiple" else ()
    assert list(rows) == ["whole image", "centred box", "random map", *deaf, "ceiling"]
    assert {(row.evaluated, row.total) for row in rows.values()} == {(6, 6)}
    first = next(iter(rows["ceiling"].metrics))
    values = {row: found.metrics[first]["value"] for row, found in rows.items()}
    assert values["ceiling"] >= max(values.values())
    size = (protocol.size, protocol.size)
    best = evaluate(model_free(size, 3, protocol)["ceiling"], [batch], protocol, names=NAMES)
    column = {"single": "iou", "multiple": "ciou"}[protocol.task]
    expected = {
        # A source has a quarter of the area, of which 25,087 pixels are predicted; all that
        # sounds has half.
        "source-wise": 12544 / 25087,
        "lvs-median": 25087 / 25088,
        # One vote for all: half of every weight.
        "lvs-flickr": 25087 / 25088,
    }.get(name, 1)
    assert [row[column] for row in best.items] == pytest.approx([expected] * 6, abs=1e-9)


def test_a_source_is_an_item():
    """One scene finds both of its sources, another none of its one: 2 of 3, and 1 of 2 scenes."""
    maps = np.zeros((2, *GRID, 3), np.float32)
    maps[0, :, :4, 0] = 1
    maps[0, :, 4:, 1] = 1
    maps[1, :, 4:, 0] = 1
    left, right, nothing = [0, 0, 1, 0.5], [0, 0.5, 1, 1], [0, 0, 0, 0]
    batch = clips(
        [[left, right], [left, nothing]], [[0, 1], [0, -1]], [[True, True], [True, False]]
    )
    rules = replace(get("source-wise"), threshold=get("half-maximum").threshold)
    found = evaluate(predictor(maps), [batch], rules, names=NAMES, draws=2)
    assert found.metrics["source IoU@0.3"]["value"] == pytest.approx(200 / 3)
    assert found.items[0]["sources"] == "cello 1.0000; flute 1.0000"
    assert found.items[1]["sources"] == "cello 0.0000"
    assert "NSA" not in found.metrics and found.items[0]["nsa"] == ""
    scene = evaluate(predictor(maps), [batch], get("dsol-duet"), names=NAMES, draws=2)
    assert scene.metrics["CIoU@0.3"]["value"] == 50


def test_levels_are_told_by_how_many_categories_sound():
    """Level 3 succeeds at 0.3, the others at 0.5; two boxes of one category are one source."""
    third = 1 / 3
    strips = [[0, third * i, 1, third * (i + 1)] for i in range(3)]
    batch = clips(
        [strips] * 4,
        [[0, 0, -1], [0, 1, -1], [0, 1, 2], [0, 1, 2]],
        [[True, True, False], [True, True, False], [True] * 3, [True] * 3],
        video=[0, 1, 2, 3],
    )
    maps = np.zeros((4, 6, 6, 3), np.float32)
    maps[0, :, :4, 0] = 1  # both cellos: 1
    maps[1, :, :2, 0] = 1  # of two sources one: 0.5
    maps[2, :, :2, 0] = 1  # of three sources one: 0.33
    maps[3] = 0  # none
    rules = replace(get("c2f-levels"), threshold=get("half-maximum").threshold, size=252)
    found = evaluate(predictor(maps), [batch], rules, names=NAMES, draws=20)
    assert [row["level"] for row in found.items] == [1, 2, 3, 3]
    assert [row["ciou"] for row in found.items] == pytest.approx([1, 0.5, third, 0], abs=0.02)
    values = {name: row["value"] for name, row in found.metrics.items()}
    assert values["level 1 cIoU_class@0.5"] == 100
    assert values["level 3 cIoU_class@0.3"] == 50
    assert values["cIoU_class@0.5"] in (25, 50)  # the second lies on the cut, give or take a pixel
    assert values["level 1 AUC"] > 90
    assert "level 2 cIoU_class@0.5" in values and "NSA" not in values
    assert "level 4 AUC" not in values


def test_levels_count_every_box():
    """A flute whose box is not marked as sounding, and a cello without a place."""
    left, right, nowhere = [0, 0, 1, 0.5], [0, 0.5, 1, 1], [0, 0, 0, 0]
    batch = clips([[left, right, nowhere]], [[0, 1, 2]], [[True, False, False]])
    for rules, level in ((get("c2f-levels"), 2), (replace(get("c2f-levels"), truth="sounding"), 1)):
        rows = {
            row: evaluate(predict, [batch], rules, names=NAMES)
            for row, predict in model_free((256, 256), 3, rules).items()
        }
        for row in ("ceiling", "all that sounds"):
            assert rows[row].items[0]["level"] == level
            assert rows[row].items[0]["ciou"] == pytest.approx(1 if row == "ceiling" else 1 / level)
        # What is heard is known where boxes say what sounds.
        assert ("mAP" in rows["ceiling"].metrics) == (level == 1)
    assert "all boxes count as sounding" in get("c2f-levels").describe()


def test_off_screen_sounds_without_a_silent_rule():
    """No tau, no false alarm; the peaks can be compared all the same."""
    left, nothing = [0, 0, 1, 0.5], [0, 0, 0, 0]
    batch = clips([[left, nothing]] * 2, [[0, 1]] * 2, [[True, True]] * 2)
    batch = batch._replace(offscreen=np.array([[False, True]] * 2))
    maps = np.zeros((2, *GRID, 3), np.float32)
    maps[:, :, :4, 0] = 1
    found = evaluate(predictor(maps), [batch], get("source-wise"), names=NAMES, draws=2)
    assert found.metrics["off-screen AUROC"]["value"] == 1
    assert "off-screen false alarms" not in found.metrics
    assert found.items[0]["offscreen"] == "flute 0.0000"
