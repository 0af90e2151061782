"""Whole evaluations of small made-up sets."""

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

from avloc.clustering import CategoryMap
from avloc.evaluation import (
    ceiling,
    centred_box,
    compare,
    comparison,
    evaluate,
    fit_categories,
    get,
    random_map,
)
from avloc.evaluation.baselines import boxes_on_grid
from avloc.types import Batch, Prediction

NAMES = ("cello", "flute", "tuba")
GRID = (8, 8)


def clips(boxes, labels, sounding, video=None, mask=None, start=0):
    """A batch with nothing in picture and sound."""
    size = len(boxes)
    batch = Batch.of(np.zeros((size, 2, 2, 3), np.uint8), np.zeros((size, 4), np.int16))
    return batch._replace(
        index=np.arange(start, start + size, dtype=np.int32),
        video=np.arange(start, start + size) if video is None else np.asarray(video),
        mask=np.ones(size, bool) if mask is None else np.asarray(mask),
        boxes=np.asarray(boxes, np.float32),
        labels=np.asarray(labels, np.int32),
        sounding=np.asarray(sounding, bool),
        offscreen=np.zeros(np.shape(sounding), bool),
        level_db=np.zeros(np.shape(sounding), np.float32),
    )


def scenes(count=12, seed=0):
    """Two sounding and one silent object in three quadrants of each scene."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5]])
    labels = np.stack([rng.permutation(3) for _ in range(count)])
    return clips(
        np.broadcast_to(corners, (count, 3, 4)),
        labels,
        np.broadcast_to([True, True, False], (count, 3)),
        video=np.arange(count) // 2,
    )


def split(batch, size, padding):
    """The same items in batches of `size`, the last of them padded with nonsense."""
    count = len(batch.mask)
    for start in range(0, count, size):
        places = np.arange(start, start + size)
        part = Batch(*(None if x is None else x[places % count] for x in batch))
        yield part._replace(mask=places < count)
    if padding:
        yield part._replace(mask=np.zeros(size, bool))


def predictor(maps, localization=None, cluster=None, heard=None):
    """Looks an item's prediction up by its index."""

    def predict(batch):
        at = np.asarray(batch.index)
        return Prediction(
            maps=maps[at],
            scores=maps[at].max((1, 2)),
            heard=maps[at].max((1, 2)) if heard is None else heard[at],
            localization=maps[at].max(-1) if localization is None else localization[at],
            cluster=np.zeros(len(at), int) if cluster is None else np.asarray(cluster)[at],
        )

    return predict


def test_single_by_hand():
    """A map on the left half: IoU 1, 1/2, 0 and 1/2 (a box in two parts)."""
    left = np.zeros((4, *GRID), np.float32)
    left[:, :, :4] = 1
    nothing = [0, 0, 0, 0]
    batch = clips(
        [
            [[0, 0, 1, 0.5], nothing],
            [[0, 0, 0.5, 0.5], nothing],
            [[0, 0.75, 1, 1], nothing],
            [[0, 0, 0.25, 0.5], [0.75, 0, 1, 0.5]],
        ],
        [[0, -1], [1, -1], [2, -1], [0, 0]],
        [[True, False]] * 3 + [[True, True]],
    )
    result = evaluate(predictor(left[..., None], left), [batch], get("half-maximum"), names=NAMES)
    # The resize leaves the edge where it is: half of the maximum lies on the boundary.
    assert [row["iou"] for row in result.items] == pytest.approx([1, 0.5, 0, 0.5], abs=0.01)
    assert result.metrics["IoU@0.5"]["value"] == pytest.approx(75)
    assert (result.evaluated, result.total) == (4, 4)


def test_multiple_by_hand():
    """Two scenes of one sounding and one silent object; one seen through, one mistaken."""
    maps = np.zeros((2, *GRID, 3), np.float32)
    maps[0, :, :4, 0] = 1  # right: the cello, on the left
    maps[1, :, 4:, 1] = 1  # wrong: the silent flute, on the right
    halves = [[0, 0, 1, 0.5], [0, 0.5, 1, 1]]
    batch = clips([halves] * 2, [[0, 1]] * 2, [[True, False]] * 2)
    result = evaluate(predictor(maps), [batch], get("dsol-synthetic"), names=NAMES)
    assert [row["ciou"] for row in result.items] == pytest.approx([1, 0], abs=0.01)
    # Of the silent flute and tuba, the flute's map of scene two is on over half and a bit.
    assert result.items[0]["nsa"] == 1
    assert result.items[1]["nsa"] == pytest.approx((0.46 + 1) / 2, abs=0.03)
    assert result.metrics["CIoU@0.3"]["value"] == pytest.approx(50)
    assert result.metrics["AUROC"]["value"] == pytest.approx(0.5)
    assert result.items[0]["sounding"] == "cello"
    assert result.items[0]["objects"].startswith("cello sounds 0.9")


def test_the_largest_rule_looks_at_the_whole_set():
    """A faint map is cut away by a bright one elsewhere in the set, and is all right alone."""
    maps = np.ones((2, *GRID, 1), np.float32)
    maps[0] *= 0.05
    batch = clips([[[0, 0, 1, 1]]] * 2, [[0]] * 2, [[True]] * 2)
    both = evaluate(predictor(maps), split(batch, 1, False), get("paper-solo"))
    assert [row["iou"] for row in both.items] == [0, 1]
    alone = evaluate(predictor(maps), list(split(batch, 1, False))[:1], get("paper-solo"))
    assert [row["iou"] for row in alone.items] == [1]


@pytest.mark.parametrize("protocol", ["paper", "dsol-duet", "paper-solo"])
def test_padding_and_batch_size_change_nothing(protocol):
    batch = scenes(7)
    predict = random_map(GRID, 3)
    whole = evaluate(predict, [batch], get(protocol), names=NAMES, draws=50)
    parts = evaluate(predict, split(batch, 3, True), get(protocol), names=NAMES, draws=50)
    assert parts.total == 7
    for name, value in whole.metrics.items():
        assert parts.metrics[name] == pytest.approx(value)
    assert [row["index"] for row in parts.items] == list(range(7))


def test_small_chunks_change_nothing(monkeypatch):
    batch = scenes(7)
    whole = evaluate(random_map(GRID, 3), [batch], get("paper"), names=NAMES, draws=20)
    monkeypatch.setattr("avloc.evaluation.measuring._PIXELS", 2 * 3 * 224**2)
    parts = evaluate(random_map(GRID, 3), [batch], get("paper"), names=NAMES, draws=20)
    for name, value in whole.metrics.items():
        assert parts.metrics[name] == pytest.approx(value)


def test_auroc_is_over_objects():
    batch = scenes(6)
    rng = np.random.default_rng(0)
    flat = rng.random((6, 3)).astype(np.float32)
    maps = np.broadcast_to(flat[:, None, None], (6, *GRID, 3))
    result = evaluate(predictor(maps), [batch], get("paper"), names=NAMES)
    scores = np.take_along_axis(flat, batch.labels, 1).ravel()
    expected = roc_auc_score(batch.sounding.ravel(), scores)
    assert result.metrics["AUROC"]["value"] == pytest.approx(expected)


def test_clusters_are_merged_into_categories():
    """Five clusters score like categories with the sum of their maps and their best score."""
    batch = scenes(6)
    maps = np.random.default_rng(0).random((6, *GRID, 5)).astype(np.float32) / 5
    categories = CategoryMap((0, 1, 2, 2, 0), NAMES)
    heard = np.random.default_rng(1).random((6, 5)).astype(np.float32)
    clusters = predictor(maps, heard=heard)
    best = np.stack([heard[:, [0, 4]].max(1), heard[:, 1], heard[:, 2:4].max(1)], 1)
    sums = predictor(categories.merge(maps), heard=best)
    found, expected = (
        evaluate(predict, [batch], get("paper"), merge, NAMES, draws=20)
        for predict, merge in ((clusters, categories), (sums, None))
    )
    assert found.metrics == expected.metrics and found.items == expected.items


def test_a_class_agnostic_map_serves_every_category():
    batch = scenes(4)
    maps = np.random.default_rng(0).random((4, *GRID, 1)).astype(np.float32)
    one = evaluate(predictor(maps), [batch], get("paper"), names=NAMES, draws=20)
    three = evaluate(
        predictor(np.repeat(maps, 3, -1)), [batch], get("paper"), names=NAMES, draws=20
    )
    # One score for all tells nothing of what is heard.
    assert {"mAP", "recall"} <= three.metrics.keys() - one.metrics.keys()
    assert one.metrics == {name: three.metrics[name] for name in one.metrics}


def test_items_that_cannot_be_scored_are_counted_with_reasons():
    box, nothing = [0, 0, 1, 0.5], [0, 0, 0, 0]
    batch = clips(
        [[box], [nothing], [box], [nothing], [box], [[0.5, 0.5, 0.5005, 0.5005]]],
        [[0], [-1], [0], [0], [-1], [0]],
        [[True], [False], [False], [True], [True], [True]],
    )
    predict = centred_box(GRID, 3)
    single = evaluate(predict, [batch], get("paper-solo"), names=NAMES)
    assert (single.evaluated, single.total) == (2, 6)
    assert single.reasons == {
        "nothing is annotated": 1,
        "no object is marked as sounding": 1,
        "a sounding object has no box": 2,
    }
    several = evaluate(predict, [batch], get("paper"), names=NAMES)
    assert several.evaluated == 1
    assert several.reasons["a sounding object is of unknown category"] == 1
    assert several.items[4]["not_scored"] == "a sounding object is of unknown category"
    assert "1 of 6 evaluated" in several.summary()


def test_a_set_without_annotation_is_counted_and_not_scored():
    batch = Batch.of(np.zeros((3, 2, 2, 3), np.uint8), np.zeros((3, 4), np.int16))
    single = evaluate(centred_box(GRID, 1), [batch], get("paper-solo"))
    assert (single.evaluated, single.total, dict(single.metrics)) == (0, 3, {})
    several = evaluate(predictor(np.zeros((3, *GRID, 4), np.float32)), [batch], get("paper"))
    assert several.reasons == {"the data set has no class names": 3}


def test_agreement_needs_labels_and_no_boxes():
    labels = np.array([0, 0, 1, 1, 2, 2, 2, -1])
    cluster = np.array([4, 4, 1, 0, 2, 2, 1, 3])
    batch = clips(np.zeros((8, 1, 4)), labels[:, None], np.ones((8, 1)))
    maps = np.zeros((8, *GRID, 5), np.float32)
    categories = CategoryMap((1, 1, 2, 2, 0), NAMES)
    result = evaluate(
        predictor(maps, cluster=cluster), [batch], get("paper-solo"), categories, NAMES, draws=50
    )
    expected = normalized_mutual_info_score(labels[:7], cluster[:7])
    assert result.evaluated == 0
    assert result.metrics["NMI"]["value"] == pytest.approx(expected)
    assert result.metrics["NMI"]["low"] <= expected <= result.metrics["NMI"]["high"]
    assert result.metrics["purity"]["value"] == pytest.approx(6 / 7)
    assert result.clusters[-1]["purity"] == pytest.approx(6 / 7)


def test_fit_categories_matches_clusters_on_clips_with_one_label():
    labels = np.array([[0, -1], [1, -1], [2, -1], [0, 1], [2, -1]])
    sounding = np.array([[1, 0], [1, 0], [1, 0], [1, 1], [1, 0]])
    cluster = np.array([2, 0, 1, 3, 3])
    batch = clips(np.zeros((5, 2, 4)), labels, sounding)
    maps = np.zeros((5, *GRID, 4), np.float32)
    fitted = fit_categories(predictor(maps, cluster=cluster), split(batch, 2, True), NAMES)
    assert fitted == CategoryMap((1, 2, 0, 2), NAMES)


def test_the_audio_s_own_clusters_are_compared_too():
    """By the source that is heard most, of clips with one label, from off screen or not."""
    labels = np.array([0, 0, 1, 1, 2, 2])
    heard = np.eye(4, dtype=np.float32)[[3, 3, 0, 1, 1, 1]] * 0.4
    batch = clips(np.zeros((6, 1, 4)), labels[:, None], np.ones((6, 1)))
    batch = batch._replace(offscreen=np.arange(6)[:, None] == 5)
    predict = predictor(np.zeros((6, *GRID, 4), np.float32), cluster=labels, heard=heard)
    for part in ([batch], split(batch, 4, True)):
        result = evaluate(predict, part, get("paper-solo"), names=NAMES, draws=50)
        expected = normalized_mutual_info_score(labels, heard.argmax(1))
        assert result.metrics["audio NMI"]["value"] == pytest.approx(expected)
        assert result.metrics["NMI"]["value"] == 1
    one = predictor(np.zeros((6, *GRID, 1), np.float32), cluster=labels)
    assert "audio NMI" not in evaluate(one, [batch], get("paper-solo"), names=NAMES).metrics


def test_majority_naming_may_leave_a_category_without_a_cluster():
    labels, cluster = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 1, 1, 1, 1])
    cluster = np.where(np.arange(6) == 4, 2, cluster)
    batch = clips(np.zeros((6, 1, 4)), labels[:, None], np.ones((6, 1)))
    predict = predictor(np.zeros((6, *GRID, 3), np.float32), cluster=cluster)
    # Cluster 1 holds one clip of each: the first category wins. No cluster is left for the flute.
    assert fit_categories(predict, [batch], NAMES, "majority").of_cluster == (0, 0, 2)
    assert fit_categories(predict, [batch], NAMES).of_cluster == (0, 1, 2)


def test_fit_categories_says_what_is_wrong():
    batch = clips(np.zeros((2, 1, 4)), [[-1], [-1]], [[True], [True]])
    two, four, one = (predictor(np.zeros((2, *GRID, k), np.float32)) for k in (2, 4, 1))
    with pytest.raises(ValueError, match="2 clusters cannot cover 3 categories"):
        fit_categories(two, [batch], NAMES)
    with pytest.raises(ValueError, match="none of 2 clips has a known label"):
        fit_categories(four, [batch], NAMES)
    with pytest.raises(ValueError, match="no clips"):
        fit_categories(four, [], NAMES)
    assert fit_categories(one, [batch], NAMES) is None
    assert fit_categories(four, [batch], ()) is None


def test_wrong_input_is_named():
    batch = scenes(2)
    with pytest.raises(ValueError, match="maps have 5 categories, but the data set has 3"):
        evaluate(predictor(np.zeros((2, *GRID, 5))), [batch], get("paper"), names=NAMES)
    with pytest.raises(ValueError, match="label 2 has no name: 2 names"):
        evaluate(predictor(np.zeros((2, *GRID, 2))), [batch], get("paper"), names=NAMES[:2])
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(centred_box(GRID, 3), [], get("paper"), names=NAMES)
    maps = np.zeros((2, *GRID, 3))
    maps[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"maps of items \[1\] are not finite"):
        evaluate(predictor(maps), [batch], get("paper"), names=NAMES)
    heard = np.array([[0.0, 0, np.nan], [0, 0, 0]])
    with pytest.raises(ValueError, match=r"heard in items \[0\] are not finite"):
        evaluate(predictor(np.zeros((2, *GRID, 3)), heard=heard), [batch], get("paper"))


def test_baselines_stand_in_order():
    batch = scenes(12)
    rows = {
        "ceiling": evaluate(ceiling(GRID, 3), [batch], get("paper"), names=NAMES),
        "centred box": evaluate(centred_box(GRID, 3), [batch], get("paper"), names=NAMES),
        "random map": evaluate(random_map(GRID, 3), [batch], get("paper"), names=NAMES),
    }
    value = {name: row.metrics["CIoU@0.3"]["value"] for name, row in rows.items()}
    assert value["ceiling"] == 100
    assert value["centred box"] < 100
    assert rows["ceiling"].metrics["AUROC"]["value"] == 1
    # Of three categories two sound: a score for all alike finds all, and is right for two thirds.
    assert rows["ceiling"].metrics["mAP"]["value"] == 1
    assert rows["centred box"].metrics["mAP"]["value"] == pytest.approx(2 / 3)
    assert rows["centred box"].metrics["precision"]["value"] == pytest.approx(2 / 3)
    assert rows["centred box"].metrics["recall"]["value"] == 1
    for name in ("centred box", "random map"):
        assert 0.2 < rows[name].metrics["AUROC"]["value"] < 0.8
    assert "NMI" not in evaluate(centred_box(GRID, 3), [batch], get("paper-solo")).metrics


def test_random_map_belongs_to_the_item():
    batch = scenes(4)
    whole = random_map(GRID, 3)(batch)
    parts = [random_map(GRID, 3)(part) for part in split(batch, 2, False)]
    np.testing.assert_array_equal(whole.maps, np.concatenate([p.maps for p in parts]))
    assert not np.array_equal(whole.maps, random_map(GRID, 3, seed=1)(batch).maps)


def test_boxes_on_the_grid():
    boxes = np.array([[0, 0.1, 0.5, 0.9], [0.3, 0.3, 0.32, 0.32], [0, 0, 0, 0]])
    drawn = boxes_on_grid(boxes, (4, 4))
    # Of the first, the outer columns are covered by 0.6.
    np.testing.assert_array_equal(drawn[0], [[1] * 4, [1] * 4, [0] * 4, [0] * 4])
    assert drawn[1].sum() == 1 and drawn[1, 1, 1] == 1
    assert drawn[2].sum() == 0
    centre = centred_box((14, 14), 1)(scenes(1)).localization[0]
    assert centre.mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(centre, centre[::-1, ::-1])


def test_files(tmp_path):
    batch = scenes(4)._replace(video=np.zeros(4, int))
    result = evaluate(random_map(GRID, 3), [batch], get("paper"), names=NAMES)
    result.write(tmp_path / "evaluation")
    with (tmp_path / "evaluation" / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["ciou"]) for row in rows] == [row["ciou"] for row in result.items]
    read = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert (read["protocol"], read["evaluated"], read["total"]) == ("paper", 4, 4)
    # One video only: a value, no interval.
    assert read["metrics"]["NSA"]["low"] is None
    assert read["metrics"]["NSA"]["value"] == result.metrics["NSA"]["value"]


def test_comparison_has_methods_down_and_metrics_across():
    batch = scenes(6)
    box, noise = centred_box(GRID, 3), random_map(GRID, 3)

    def run(predict, protocol):
        return evaluate(predict, [batch], get(protocol), names=NAMES, draws=50)

    one = comparison({"centred box": run(box, "paper"), "random map": run(noise, "paper")})
    assert one.columns[:6] == ["", "CIoU@0.3", "AUC", "NSA", "AUROC", "mAP"]
    assert [row[0] for row in one.rows] == ["centred box", "random map"]
    assert "6 of 6 evaluated" in one.note
    rows = {"box": [run(box, "paper-solo"), run(box, "paper")], "random": run(noise, "paper")}
    table = comparison(rows)
    assert table.columns[1:5] == [
        "IoU@0.5 (paper-solo)",
        "AUC (paper-solo)",
        "AP50 (paper-solo)",
        "CIoU@0.3 (paper)",
    ]
    assert str(table.rows[1][1]) == "-"
    value = run(box, "paper").metrics["AUROC"]
    assert f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]" in compare(rows)
