"""Figures that say nothing are not shown."""

import math

import pytest

from avloc.evaluation import protocols
from avloc.evaluation.results import Evaluation, comparison
from avloc.evaluation.telling import undecided


def row(**metrics: float) -> Evaluation:
    named = {
        name.replace("_at_", "@0."): {"value": value, "low": math.nan, "high": math.nan}
        for name, value in metrics.items()
    }
    return Evaluation(protocols.get("dsol-synthetic"), named, 10, 10, {}, ())


def test_a_metric_that_the_centred_box_wins_is_not_shown_as_a_result():
    table = comparison(
        {
            "OURS": row(CIoU_at_3=98.0, AUC=50.0, AUROC=0.93),
            "untrained network": row(CIoU_at_3=76.9, AUC=40.0, AUROC=0.91),
            "centred box": row(CIoU_at_3=100.0, AUC=35.0, AUROC=0.5),
            "ceiling": row(CIoU_at_3=100.0, AUC=80.0, AUROC=1.0),
        }
    )
    assert table.columns == ["", "CIoU@0.3", "AUC", "AUROC"]
    shown = {name: [cell.text for cell in cells] for name, *cells in table.rows}
    assert shown["OURS"] == ["cannot tell", "50.0", "cannot tell"]
    assert shown["untrained network"] == ["76.9", "40.0", "0.910"]
    assert shown["centred box"] == ["100.0", "35.0", "0.500"]
    assert shown["ceiling"] == ["100.0", "80.0", "1.000"]
    assert (
        "CIoU@0.3: cannot tell, as here the centred box, which has learnt nothing, gets 100.0. "
        "AUROC: cannot tell, as here the untrained network, which has learnt nothing, gets 0.910."
    ) in table.note


@pytest.mark.parametrize(
    ("metric", "value", "best", "expected"),
    [
        ("CIoU@0.3", 90.0, 100, False),
        ("CIoU@0.3", 90.1, 100, True),
        ("precision", 0.91, 1, True),
        ("NSA", 99.0, 100, False),
        ("macro recall", 1.0, 1, False),
        ("recall", 1.0, 1, False),
        ("quiet recall at precision 0.8", 0.95, 1, True),
        ("off-screen false alarms", 100.0, 100, False),
        ("AUC", math.nan, 100, False),
    ],
)
def test_what_passes(metric, value, best, expected):
    assert undecided(metric, {"ours": 0.0, "random map": value}, best) is expected
    assert not undecided(metric, {"ours": best, "ceiling": best}, best)
