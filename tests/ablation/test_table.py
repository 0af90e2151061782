"""The table: means, spreads and intervals worked out by hand from made-up files of runs."""

import json
import math

import numpy as np
import pytest

from avloc.ablation.declaration import Ablation, Cell, Shared
from avloc.ablation.grid import Grid
from avloc.ablation.pooling import item_scores, mean_and_spread, pool, read_items
from avloc.ablation.table import markdown, split_tables, to_json, write
from avloc.evaluation import protocols
from avloc.evaluation.bootstrap import interval
from tests.ablation.finished import finish

SPLIT = "cocktail_test"
RULES = protocols.get("dsol-synthetic")


def make_grid(tmp_path, **fields):
    cells = {"plain": Cell({"stage_two.product": False}), "whole": Cell()}
    declared = {"cells": cells, "seeds": (0, 1)} | fields
    grid = Grid(Ablation("csol_toy.py", **declared), tmp_path)
    for run in grid.choose():
        run.folder.mkdir(parents=True)
    return grid


@pytest.fixture
def grid(tmp_path):
    """Two cells from two seeds, on four scenes of two videos; AUROC is no mean of items."""
    grid = make_grid(tmp_path)
    finish(grid.cells["plain"][0], SPLIT, [0.0, 0.1, 0.2, 0.0], AUROC=(0.5, 0.4, 0.6))
    finish(grid.cells["plain"][1], SPLIT, [0.5, 0.1, 0.2, 0.4], AUROC=(0.7, 0.5, 0.9))
    finish(grid.cells["whole"][0], SPLIT, [0.4, 0.5, 0.2, 0.0], AUROC=(0.8, 0.7, 0.9))
    finish(grid.cells["whole"][1], SPLIT, [0.4, 0.5, 0.6, 0.7], AUROC=(0.8, 0.7, 0.9))
    return grid


def over_two_videos(shares):
    """The interval, in per cent, of four items, two a video."""
    found = interval(np.array(shares), np.array([0, 0, 1, 1]))
    return pytest.approx((100 * found.low, 100 * found.high))


def test_mean_and_spread_over_seeds():
    mean, spread = mean_and_spread([1.0, 2.0, 6.0])
    assert mean == 3.0 and spread == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert mean_and_spread([5.0])[0] == 5.0 and math.isnan(mean_and_spread([5.0])[1])


def test_pooled_over_seeds(grid):
    (table,) = split_tables(grid)
    assert (table.split, table.protocol) == (SPLIT, ("dsol-synthetic", 3))
    assert (table.evaluated, table.total) == (4, 5)
    assert table.stages == dict.fromkeys(["plain", "whole"], "CSOL after stage two")
    ciou = table.scores["plain"]["CIoU@0.3"]
    # Seed 0 finds none of four, seed 1 two.
    assert ciou.mean == 25.0 and ciou.spread == pytest.approx(math.sqrt(2) * 25)
    assert ciou.seeds == {0: 0.0, 1: 50.0}
    # Both videos score 25, averaged over seeds; two videos say next to nothing.
    assert (ciou.interval, ciou.low, ciou.high) == (
        "videos",
        pytest.approx(0.34, abs=0.01),
        pytest.approx(97, abs=0.1),
    )


def test_the_interval_is_over_videos_of_the_average_over_seeds(tmp_path):
    grid = make_grid(tmp_path, cells={"whole": Cell()})
    finish(grid.cells["whole"][0], SPLIT, [0.4, 0.5, 0.2, 0.0])
    finish(grid.cells["whole"][1], SPLIT, [0.1, 0.5, 0.6, 0.1])
    scores = split_tables(grid)[0].scores["whole"]
    # Video 0: (1 + 2) / 4 = 75 %; video 1: (1 + 0) / 4 = 25 %.
    ciou = scores["CIoU@0.3"]
    assert (ciou.mean, ciou.interval) == (50.0, "videos")
    assert (ciou.low, ciou.high) == over_two_videos([0.5, 1, 0.5, 0])
    # Item scores (2 + ciou 0 + ciou 1) / 4.
    nsa = scores["NSA"]
    assert nsa.mean == pytest.approx(65.0)
    assert (nsa.low, nsa.high) == over_two_videos([(2 + x) / 4 for x in (0.5, 1.0, 0.8, 0.1)])


def test_a_metric_that_is_no_mean_of_items_gets_the_mean_of_the_seeds_intervals(grid):
    auroc = split_tables(grid)[0].scores["plain"]["AUROC"]
    assert auroc.mean == pytest.approx(0.6) and auroc.spread == pytest.approx(0.02**0.5)
    assert (auroc.low, auroc.high) == pytest.approx((0.45, 0.75)) and auroc.interval == "seeds"


def test_item_scores():
    items = [{"ciou": "0.31", "nsa": "0.9"}, {"ciou": "", "nsa": ""}, {"ciou": "0.2", "nsa": ""}]
    found = {m: item_scores(m, items, RULES) for m in ("CIoU@0.3", "NSA", "AUC")}
    np.testing.assert_array_equal(found["CIoU@0.3"], [100, np.nan, 0])
    np.testing.assert_array_equal(found["NSA"], [90, np.nan, np.nan])
    # 0.31 reaches the levels 0 to 0.30 (of 21; 0.3 too), 0.2 those to 0.20: trapezoids.
    np.testing.assert_allclose(found["AUC"], [100 * 0.325, np.nan, 100 * 0.225])
    assert item_scores("AUROC", items, RULES) is None
    solo = item_scores("IoU@0.5", [{"iou": "0.5"}], protocols.get("dsol-solo"))
    np.testing.assert_array_equal(solo, [100])


def test_nothing_behind_a_metric():
    entry = {"value": 40.0, "low": None, "high": None}
    found = pool("CIoU@0.3", {0: entry}, {0: ()}, RULES)
    assert found.mean == 40.0 and found.interval == "" and math.isnan(found.low)
    gone = pool("CIoU@0.3", {0: {"value": 40.0, "low": 30.0, "high": 50.0}}, {0: ()}, None)
    assert (gone.low, gone.high, gone.interval) == (30.0, 50.0, "seeds")


def test_other_items_are_not_averaged(grid):
    run = grid.cells["plain"][1]
    file = next(run.folder.rglob("items.csv"))
    items = {0: read_items(next(grid.cells["plain"][0].folder.rglob("items.csv")))}
    items[1] = [row | {"index": str(9 + int(row["index"]))} for row in read_items(file)]
    entries = {
        0: {"value": 0.0, "low": 0.0, "high": 1.0},
        1: {"value": 50.0, "low": 1.0, "high": 9},
    }
    assert pool("CIoU@0.3", entries, items, RULES).interval == "seeds"


def test_markdown(grid):
    text = markdown(grid, "mine", split_tables(grid))
    assert text.startswith("# mine\n\n4 of 4 cells (rows x seeds). Mean over seeds ± standard dev")
    assert f"Split `{SPLIT}`, the rules; 4 of 5 evaluated." in text
    row = next(line for line in text.splitlines() if line.startswith("| plain"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == [
        "plain",
        "CSOL after stage two",
        "2 of 2",
        "25.0 ± 35.4 [0.3, 97.0]",
    ]
    assert cells[-1] == "0.600 ± 0.141 ~[0.450, 0.750]"
    assert "~[ ]: mean of each seed's own interval" in text


def test_columns_and_missing_cells(tmp_path):
    columns = ((SPLIT, "AUC"), (SPLIT, "CIoU@0.3"), ("*", "NMI"), ("*", "NSA"))
    shared = {"trunk": Shared("stage_one", {"stage_two.epochs": 0}, shown_as="stage_one")}
    grid = make_grid(tmp_path, columns=columns, shared=shared, note="Expected: nothing.")
    finish(grid.shared["trunk"][0], SPLIT, [0.4, 0.4], stage="stage_one", AUROC=(1, 1, 1))
    finish(grid.cells["plain"][0], "test", [0.4, 0.4])
    text = markdown(grid, "mine", split_tables(grid))
    assert "Expected: nothing." in text
    assert (
        "2 of 6 cells (rows x seeds); missing: stage_one (seed 1), plain (seed 1), whole (seed 0), "
        "whole (seed 1)." in text
    )
    lines = [line for line in text.splitlines() if line.startswith(("| cell", "| stage_one"))]
    head, row = lines[:2]
    assert [x.strip() for x in head.strip("|").split("|")][3:] == ["AUC", "CIoU@0.3", "NSA"]
    assert [x.strip() for x in row.strip("|").split("|")][:4] == [
        "stage_one",
        "CSOL after stage one",
        "1 of 2",
        "-",
    ]
    assert "No cell has AUC." in text and "AUROC" not in text
    # Of split `test` only what `*` asks for.
    assert "Split `test`" in text


def test_json(grid, tmp_path):
    (grid.cells["whole"][1].folder / "attempts.json").write_text('{"seconds": 12.5, "attempts": 1}')
    assert write(grid, "mine") == (tmp_path / "ablation.md").read_text()
    data = json.loads((tmp_path / "ablation.json").read_text())
    assert data == json.loads(json.dumps(to_json(grid, "mine", split_tables(grid))))
    assert (data["seeds"], data["missing"], data["shared"]) == ([0, 1], [], {})
    assert data["cells"]["plain"] == {
        "config": "csol_toy.py",
        "data": "toy_orchestra",
        "changes": {"evaluation.baselines": False, "stage_two.product": False},
        "start": None,
        "runs": {
            "0": {"folder": "plain/seed_0", "finished": True, "seconds": None},
            "1": {"folder": "plain/seed_1", "finished": True, "seconds": None},
        },
    }
    assert data["cells"]["whole"]["runs"]["1"]["seconds"] == 12.5
    (table,) = data["tables"]
    assert table["protocol"] == ["dsol-synthetic", 3]
    assert table["scores"]["plain"]["CIoU@0.3"]["seeds"] == {"0": 0.0, "1": 50.0}


def test_runs_under_other_rules_stand_apart(grid):
    run = grid.cells["whole"][0]
    file = run.folder / "metrics.json"
    file.write_text(file.read_text().replace('"evaluated": 4', '"evaluated": 3'))
    tables = split_tables(grid)
    assert [(table.evaluated, list(table.scores)) for table in tables] == [
        (4, ["plain", "whole"]),
        (3, ["whole"]),
    ]


def test_items_that_do_not_make_the_metric_give_no_interval(grid):
    run = grid.cells["plain"][0]
    file = run.folder / "metrics.json"
    entry = json.loads(file.read_text())
    entry["splits"][SPLIT]["CSOL after stage two"]["metrics"]["CIoU@0.3"]["value"] = 75.0
    file.write_text(json.dumps(entry))
    assert split_tables(grid)[0].scores["plain"]["CIoU@0.3"].interval == "seeds"


def test_a_metric_without_a_value_says_why(grid):
    """In one row of two, and in a row of both; where a seed has it, its value stands."""
    for name, run in ((name, run) for name, runs in grid.cells.items() for run in runs.values()):
        file = run.folder / "metrics.json"
        data = json.loads(file.read_text())
        first = next(iter(data["splits"][SPLIT].values()))
        first["undefined"] = {"NMI": "one category"}
        if name == "plain":
            del first["metrics"]["AUROC"]
            first["undefined"]["AUROC"] = "no silent object is annotated"
        file.write_text(json.dumps(data))
    text = markdown(grid, "mine", split_tables(grid))
    assert "NMI: not scored: one category." in text
    assert "AUROC: not scored: no silent object is annotated (plain)." in text
    plain, whole = (line for line in text.splitlines() if line.startswith(("| plain", "| whole")))
    assert plain.count("not scored") == 2 and whole.count("not scored") == 1
