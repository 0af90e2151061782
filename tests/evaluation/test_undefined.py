"""Every metric has a value or a reason why not."""

import numpy as np

from avloc.clustering import CategoryMap
from avloc.evaluation import evaluate, get, random_map
from tests.evaluation.test_evaluator import GRID, NAMES, clips, predictor, scenes


def reasons(batch, predict=None, protocol="dsol-duet", **how):
    """Why metrics of some scenes are not scored; each has either a value or a reason."""
    predict = predict or random_map(GRID, 3)
    found = evaluate(predict, [batch], get(protocol), names=NAMES, draws=2, **how)
    assert not set(found.undefined) & set(found.metrics)
    assert not any(np.isnan(row["value"]) for row in found.metrics.values())
    return found.undefined


def test_every_metric_without_a_value_has_a_reason():
    batch = scenes(4)
    some = reasons(batch, named_from=0.0)
    assert (
        some["off-screen AUROC"] == some["off-screen false alarms"] == "nothing sounds off screen"
    )
    assert some["quiet recall"] == "no source is known to be 6 to 12 dB under the loudest"
    assert set(some) == {
        *("off-screen AUROC", "off-screen false alarms"),
        *("quiet recall", "quiet recall at precision 0.8"),
    }
    everything = reasons(batch._replace(sounding=np.ones((4, 3), bool)), named_from=2.0)
    assert everything["AUROC"] == everything["mAP50"] == "no silent object is annotated"
    assert everything["NSA"] == "every category sounds in every scene"
    assert everything["all heard most"] == "every category sounds in every item"
    assert everything["named precision"] == "nothing is named"
    nothing = predictor(np.zeros((4, *GRID, 3), np.float32))
    assert reasons(batch, nothing)["precision"] == "no score reaches 0.5"
    assert reasons(batch, nothing)["macro precision"] == "no score reaches 0.5"
    one = reasons(batch, predictor(np.zeros((4, *GRID, 1), np.float32)), named_from=0.5)
    for name in ("sounding mAP30", "mAP", "recall", "named recall"):
        assert one[name] == "categories are not told apart"
    # A rule that the protocol does not have is not missing.
    assert not {"NSA", "off-screen false alarms"} & set(reasons(batch, protocol="source-wise"))


def test_clusters_of_one_category_are_not_scored():
    labels = np.zeros((4, 1), int)
    batch = clips(np.zeros((4, 1, 4)), labels, np.ones((4, 1)))
    maps = np.zeros((4, *GRID, 2), np.float32)
    predict = predictor(maps, cluster=[0, 0, 1, 1], heard=np.eye(2, dtype=np.float32)[[0, 0, 0, 1]])
    for names, expected in (
        (NAMES[:1], ["NMI", "audio NMI", "purity"]),
        (NAMES[:2], ["NMI", "audio NMI"]),
    ):
        categories = CategoryMap((0,) * 2 if len(names) == 1 else (0, 1), names)
        found = evaluate(predict, [batch], get("paper-solo"), categories, names, draws=2)
        assert found.undefined == dict.fromkeys(expected, "one category")
    # With two classes a clip can be taken for the other one, so purity says something.
    assert found.metrics["purity"]["value"] == 0.5
    unknown = evaluate(predict, [batch._replace(labels=labels - 1)], get("paper-solo"), draws=2)
    assert unknown.undefined["NMI"] == "no clip is of a known category"
