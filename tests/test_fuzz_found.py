"""What `scripts/fuzz.py` found, a test for each mechanism."""

import json
import re
import shutil

import pytest

from avloc.cli import main
from avloc.data_pipelines.annotations.scene_list import read_scenes
from avloc.data_pipelines.dataset import Dataset
from avloc.json_files import parse_json, require_like
from avloc.runs.folder import RunFolder
from avloc.runs.thresholds import stored_threshold
from avloc.scoring.scores import Scores, stored_scores
from tests.command_line import train

DEEP = "[" * 50000 + "]" * 50000


def test_lists_within_lists_are_no_json(tmp_path):
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(DEEP)
    file = tmp_path / "annotations.json"
    file.write_text(DEEP)
    with pytest.raises(ValueError, match=r"annotations\.json: not JSON \(nested too deeply\)"):
        read_scenes(file)


def test_a_form_is_asked_of_every_value():
    form = {"a": [{str: int | None}], "b": float | int, "c": bool}
    require_like({"a": [{"x": 1, "y": None}, {}], "b": 0.5, "c": True, "other": "x"}, form, "f")
    for wrong, place in (
        ([], "f: must not be"),
        ({"a": {}}, 'f, "a": must not be {}'),
        ({"a": [{"x": 1}, {"y": "1"}]}, 'f, "a", entry 1, "y": must not be \'1\''),
        ({"b": True}, 'f, "b": must be a number'),
        ({"c": 1}, 'f, "c": must not be 1'),
    ):
        with pytest.raises(ValueError) as raised:
            require_like(wrong, form, "f")
        assert place in str(raised.value)


def test_scores_of_another_form_are_none(place, copy):
    run, file = RunFolder(copy), copy / "metrics.json"
    whole = json.loads(file.read_text())
    assert Scores.from_json(whole) is not None and stored_scores(run) is not None
    split = next(iter(whole["splits"]))
    row = next(iter(whole["splits"][split]))
    for field, wrong in (
        ("not_scored", "text"),
        ("evaluated", None),
        ("metrics", {"AUC": {"value": "1"}}),
        ("clusters", [1]),
        ("undefined", []),
        ("named_by", 3),
    ):
        rows = whole["splits"][split]
        spoilt = {split: rows | {row: rows[row] | {field: wrong}}}
        file.write_text(json.dumps(whole | {"splits": spoilt}))
        assert stored_scores(run) is None, field
    for content in (DEEP, "[]", json.dumps(whole | {"left_out": []})):
        file.write_text(content)
        assert stored_scores(run) is None


def test_a_threshold_of_another_form_is_told(copy):
    for content in ("[]", '{"stage_two": {"value": "0.2", "rule": "mine"}}', DEEP):
        (copy / "thresholds.json").write_text(content)
        with pytest.raises(ValueError, match=r"thresholds\.json is damaged"):
            stored_threshold(RunFolder(copy), "stage_two")


@pytest.mark.parametrize("field", ["stage_one.epochs", "stage_two.epochs", "hearing.epochs"])
def test_a_training_that_would_never_end_listing_its_epochs(place, tmp_path, fails, field):
    sentence = fails(*train(tmp_path / "run", place, f"--config.{field}={2**64}"))
    assert f"config.{field} is {2**64}: set --config.{field} to a number from 0 to" in sentence


def test_a_record_that_cannot_be_read_is_named(place, tmp_path, capsys):
    data = shutil.copytree(place / "data", tmp_path / "data")
    (shard,) = data.rglob("*-test.array_record*")
    content = bytearray(shard.read_bytes())
    content[len(content) // 15 * 7] ^= 1
    shard.write_bytes(content)
    asked = ("data", "doctor", "toy_orchestra/tiny", "--data-dir", data, "--out", tmp_path / "out")
    assert main([str(word) for word in asked]) == 2
    # Behind the splits that were read before.
    sentence = capsys.readouterr().err.splitlines()[-1].removeprefix("avloc: error: ")
    told = r"record \d+ of split test in .* is damaged \(Corrupted .*\): remove that folder"
    assert re.match(told, sentence)
    with pytest.raises(ValueError, match="is damaged"):
        Dataset.open("toy_orchestra/tiny", data).labels("test")
