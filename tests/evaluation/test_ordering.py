"""The one order of metrics, in tables and files."""

import json
import random
import re

from avloc.evaluation import HEARD_METRICS, PROTOCOLS
from avloc.evaluation.ordering import _ORDER, in_order, place
from avloc.evaluation.results import Evaluation, comparison
from avloc.scoring.score_table import GIVEN, measured
from avloc.scoring.scores import Scores

SINGLE = ["IoU@0.5", "AUC", "AP50", "NMI", "purity", "audio NMI"]
SCENES = ["CIoU@0.3", "AUC", "NSA", "AUROC", "off-screen false alarms", "off-screen AUROC"]
SCENES += ["named precision", "named recall", *HEARD_METRICS, "sounding mAP30", "mAP50"]
LEVELS = ["cIoU_class@0.5", "AUC", "level 1 cIoU_class@0.5", "level 1 AUC", "level 2 AUC"]


def evaluation(names, protocol="dsol-synthetic"):
    metrics = {name: {"value": 0.5, "low": 0.4, "high": 0.6} for name in names}
    return Evaluation(PROTOCOLS[protocol], metrics, 3, 3, {}, ())


def test_each_metric_has_a_place():
    for names in (SINGLE, SCENES, LEVELS, ["cIoU@0.5"], ["source IoU@0.3"]):
        assert in_order(names) == names
        assert all(place(name) < (len(_ORDER),) for name in names)
        # No name fits two kinds.
        fits = [sum(bool(re.fullmatch(kind, name)) for kind in _ORDER) for name in names]
        assert fits == [1] * len(names)
    assert in_order(["mine", "AUC", "yours", "AUC", "IoU@0.5"]) == [
        "IoU@0.5",
        "AUC",
        "mine",
        "yours",
    ]


def test_levels_come_in_their_order_though_no_row_has_all_of_them():
    first = ["AUC", "level 1 cIoU_class@0.5", "level 1 AUC"]
    first += ["level 10 AUC", "level 10 cIoU_class@0.3"]
    second = ["level 2 AUC", "level 2 cIoU_class@0.5", "NSA"]
    rows = {"first": evaluation(first, "c2f-levels"), "second": evaluation(second, "c2f-levels")}
    levels = [
        f"level {n} {metric}"
        for n, cut in ((1, 0.5), (2, 0.5), (10, 0.3))
        for metric in (f"cIoU_class@{cut}", "AUC")
    ]
    assert comparison(rows).columns[1:] == ["AUC", *levels, "NSA"]


def test_tables_and_files_have_it_however_it_was_found():
    for seed in range(5):
        found = [random.Random(seed + n).sample(SCENES, len(SCENES)) for n in range(2)]
        # The first row lacks some, as a line that needs no model does.
        rows = {"first": evaluation(found[0][:5]), "second": evaluation(found[1])}
        assert comparison(rows).columns[1:] == SCENES
        assert list(rows["second"].metrics) == SCENES
        scores = Scores({"cocktail_test": rows}, {})
        tables = [table.columns[1:] for table in scores.tables()]
        assert tables == [[n for n in SCENES if n not in HEARD_METRICS], [*HEARD_METRICS]]
        stored = json.loads(json.dumps(scores.to_json()))
        assert list(stored["splits"]["cocktail_test"]["second"]["metrics"]) == SCENES
        # A file of before, in whatever order, is shown in this one.
        entry = stored["splits"]["cocktail_test"]["second"]
        entry["metrics"] = {name: entry["metrics"][name] for name in found[1]}
        again = Scores.from_json(stored).splits["cocktail_test"]["second"]
        assert list(again.metrics) == SCENES


def test_lines_of_given_maps_have_it():
    first = {GIVEN: evaluation(["NSA", "CIoU@0.3"])}
    second = {GIVEN: evaluation(["AUROC", "AUC", "NSA"], "paper")}
    names = [metric for _, metric, _ in measured({"dsol-synthetic": first, "paper": second})]
    assert names == ["CIoU@0.3", "AUC", "NSA", "AUROC"]
