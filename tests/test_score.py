"""`avloc score`, end to end on a small data set."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from avloc.cli import main
from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from avloc.evaluation import PROTOCOLS

PAGE = Path(__file__).parents[1] / "docs" / "scoring.md"
SIDE = 224
SPEC = "toy_orchestra/tiny"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of a built data set, and its records."""
    folder = tmp_path_factory.mktemp("data")
    dataset = Dataset(registry.build(SPEC, data_dir=folder))
    return folder, dataset


@pytest.fixture
def score(data, capsys):
    """Scores maps; gives the exit status and what was said."""

    def run(maps, split, protocol, *more):
        asked = ("--data", SPEC, "--data-dir", data[0], "--split", split, "--protocol", protocol)
        status = main(["score", "--maps", str(maps), *map(str, asked), *map(str, more)])
        said = capsys.readouterr()
        return status, said.err.splitlines()[-1] if status else said.out

    return run


def truth(record, categories):
    """Pixels of each category's sounding boxes, `[SIDE, SIDE, categories]`."""
    found = np.zeros((SIDE, SIDE, categories), bool)
    objects = record["objects"]
    for box, label, sounds in zip(
        objects["bbox"], objects["label"], objects["sounding"], strict=True
    ):
        top, left, bottom, right = (int(np.floor(edge * SIDE + 1e-4)) for edge in box)
        found[top:bottom, left:right, label] |= bool(sounds)
    return found


def records(data, split):
    return {record["id"].decode(): record for record in data[1].source(split)}


def cells(text):
    """A Markdown table as rows of cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_rule_that_is_named(data, score, tmp_path):
    """A map on the left half, the last two items left out, against sums over pixels."""
    items = records(data, "test")
    left = np.zeros((SIDE, SIDE), np.float32)
    left[:, : SIDE // 2] = 0.7
    folder = tmp_path / "maps"
    folder.mkdir()
    for name in list(items)[:-2]:
        np.save(folder / f"{name}.npy", left)
    np.save(folder / "stranger.npy", left)
    out = tmp_path / "out"
    status, said = score(folder, "test", "half-maximum", "--out", out)
    assert status == 0
    with (out / "half-maximum" / "items.csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(items)
    expected = []
    for name, record in list(items.items())[:-2]:
        real = truth(record, 10).any(-1)
        expected.append((real & (left > 0)).sum() / (real | (left > 0)).sum())
        assert float(rows[name]["iou"]) == pytest.approx(expected[-1], abs=1e-12)
    for name in list(items)[-2:]:
        assert rows[name]["not_scored"] == "no map was given" and rows[name]["iou"] == ""
    assert "14 of 16 evaluated" in said
    assert "2 of 16 items are not scored: no map was given." in said
    assert "Maps without an item in the split: 1 (stranger)." in said
    share = 100 * np.mean(np.array(expected) >= 0.5)
    head, _, first, *_ = cells(said)
    assert head == ["", "given maps", "whole image", "centred box", "random map", "ceiling"]
    assert first[0] == "IoU@0.5" and first[1].split()[0] == f"{share:.1f}"
    stored = json.loads((out / "score.json").read_text())
    rows = stored["protocols"]["half-maximum"]
    assert set(rows) == set(head[1:]) and all(row["total"] == 16 for row in rows.values())
    assert all(row["evaluated"] == 14 for row in rows.values())
    assert (out / "score.md").read_text().strip() in said
    assert {path.name for path in out.iterdir()} == {"score.md", "score.json", "half-maximum"}


def test_every_rule_that_fits(data, score, tmp_path):
    """The true boxes of four scenes, in maps of classes, and scores that hear each source."""
    items = dict(list(records(data, "cocktail_test").items())[:4])
    sums = {name: truth(record, 10).astype(np.float32) for name, record in items.items()}
    heard = {f"{name}.scores": 0.1 + 0.8 * found.max((0, 1)) for name, found in sums.items()}
    np.savez_compressed(tmp_path / "boxes.npz", **sums, **heard)
    out = tmp_path / "out"
    status, said = score(tmp_path / "boxes.npz", "cocktail_test", "all", "--out", out)
    assert status == 0 and said.startswith(f"# boxes.npz on {SPEC}, split cocktail_test\n")
    assert "12 of 16 items are not scored: no map was given." in said
    stored = json.loads((out / "score.json").read_text())
    assert {"paper", "dsol-synthetic", "dsol-duet", "ier"} <= set(stored["protocols"])
    lines = {line[0]: line[1:] for line in cells(said)[2:]}
    for name, rows in stored["protocols"].items():
        own = rows["given maps"]
        assert own["evaluated"] == 4 and own["total"] == 16
        for metric in own["metrics"]:
            assert len(lines.get(f"{metric} ({name})") or lines[metric]) == 7
        assert (out / name / "items.csv").is_file()
        if name in ("paper", "dsol-synthetic", "dsol-duet", "ier"):
            for row in ("given maps", "ceiling"):
                found = {metric: value["value"] for metric, value in rows[row]["metrics"].items()}
                assert found["CIoU@0.3"] == 100 and found["NSA"] == 100 and found["AUROC"] == 1
                assert found["AUC"] >= 97  # the published edges may lie a pixel off
    # The same under every rule, so said once.
    assert lines["mAP"][0].startswith("1.000") and "mAP (paper)" not in lines
    assert "one map per class" in stored["left_out"]["dsol-solo"]
    assert "- dsol-solo does not fit: it takes one map for everything that sounds" in said


def test_the_same_maps_score_by_the_rule_and_fit_by_the_split(data, score, tmp_path):
    """Ramps of one class-agnostic map, given with a scale of their own."""
    items = records(data, "test")
    ramp = np.linspace(-1, 3, 14, dtype=np.float32) * np.ones((14, 1), np.float32)
    np.savez(tmp_path / "ramps.npz", **dict.fromkeys(items, ramp))
    status, said = score(tmp_path / "ramps.npz", "test", "all")
    assert status == 0
    lines = {line[0]: line[1] for line in cells(said)[2:]}
    rows = [resized(ramp) > share * ramp.max() for share in (0.1, 0.5)]
    values = {}
    for rule, shown in zip(("dsol-solo", "half-maximum"), rows, strict=True):
        ious = []
        for record in items.values():
            real = truth(record, 10).any(-1)
            ious.append((real & shown).sum() / (real | shown).sum())
        grid = np.array([i >= 0.05 * np.arange(21) - 1e-9 for i in ious]).mean(0)
        values[rule] = 100 * np.trapezoid(grid, dx=0.05)
        assert float(lines[f"AUC ({rule})"].split()[0]) == pytest.approx(values[rule], abs=0.05)
    assert values["dsol-solo"] != values["half-maximum"]
    assert "By the rule alone, AUC of these maps goes from " in said
    assert "The maps reach from -1 to 3." in said
    assert "- paper does not fit: it distinguishes the objects of a scene, but no item has" in said


def resized(ramp):
    """A ramp along x at SIDE pixels: half-pixel centres, borders repeated."""
    cells = ramp.shape[1]
    place = (np.arange(SIDE) + 0.5) * cells / SIDE - 0.5
    return np.interp(place, np.arange(cells), ramp[0])[None].repeat(SIDE, 0)


def test_no_absolute_threshold_for_maps_of_another_range(data, score, tmp_path):
    items = records(data, "cocktail_test")
    maps = {name: 255 * truth(record, 10)[::16, ::16] for name, record in items.items()}
    np.savez(tmp_path / "maps.npz", **maps)
    status, said = score(tmp_path / "maps.npz", "cocktail_test", "dsol-synthetic")
    lines = {line[0]: line[1] for line in cells(said)[2:]}
    assert status == 0 and lines["CIoU@0.3"].startswith("100.0") and "NSA" not in lines
    assert "Metrics with an absolute threshold need maps in 0 to 1 and are left out" in said


def test_what_is_refused(data, score, tmp_path, fails):
    np.savez(tmp_path / "maps.npz", test_0=np.eye(2))
    maps, out = tmp_path / "maps.npz", tmp_path / "out"
    for place, split, protocol, sentence in (
        (maps, "test", "papre", "there is no protocol 'papre'; choose one of"),
        (maps, "tset", "paper", "has no split 'tset'; it has"),
        (tmp_path / "nowhere", "test", "all", "there is no such folder or file of maps"),
        (maps, "test", "all", "none of its 1 maps is named by the id of an item; an id is 'test_0"),
    ):
        status, said = score(place, split, protocol, "--out", out)
        assert status == 2 and sentence in said
    assert not out.exists()
    asked = ("--data", SPEC, "--split", "test", "--protocol", "all", "--data-dir", tmp_path)
    assert "is not built in" in fails("score", "--maps", maps, *asked)
    assert "required: --data, --split, --protocol" in fails("score")
    neither = fails("score", *asked)
    assert "one of the arguments --maps --annotations is required" in neither


def test_the_maps_of_the_page_are_scored(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(data[0]))
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    exec(code, {})
    asked = ("--data", SPEC, "--split", "test", "--protocol", "half-maximum")
    assert main(["score", "--maps", "my_maps.npz", *asked]) == 0
    assert "16 of 16 evaluated" in capsys.readouterr().out


def test_the_protocols_of_the_page_are_those_there_are():
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(name, p.describe().partition(": ")[2]) for name, p in PROTOCOLS.items()]
