"""A run scored on data that it was not trained on."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from avloc.evaluation.baselines import DEAF
from avloc.evaluation.class_match import ClassMatch
from avloc.reports.run import write_run_report
from avloc.runs.checkpoints import record_info
from avloc.scoring.elsewhere import ElsewhereScorer, stored_elsewhere
from avloc.scoring.run import Scorer
from avloc.training.loading import recorded_info
from tests.scoring.halves import LEFT, RIGHT, clips, everything, record, scenes

THEIRS = ("cow", "Drum", "bell")
TWO = "BRIGHTNESS after stage two"


def of_theirs(count):
    """A silent bell on the dark left, a drum that sounds on the bright right."""
    return [record(i, (0, 1), [(LEFT, 2, False), (RIGHT, 1, True)]) for i in range(count)]


def with_a_cow(count):
    return [record(9 + i, (0, 1), [(LEFT, 2, False), (RIGHT, 0, True)]) for i in range(count)]


@pytest.fixture
def elsewhere(scorer, dataset_of):
    """Makes a scorer of the run on another data set of those splits."""

    def make(splits, names=THEIRS, missing="", name="other/farm/1.0.0"):
        own = scorer(everything())
        return ElsewhereScorer(own, dataset_of(splits, names, name, "f" + name), missing)

    return make


def test_labels_are_matched_by_name():
    match = ClassMatch.by_name(("sea lion", "Fox", "owl"), ("cow", "sea_lion", "fox"))
    assert match.to_own == (-1, 0, 1)
    np.testing.assert_array_equal(match.labels(np.array([[0, 1], [2, -1]])), [[-1, 0], [1, -1]])
    assert match.sentence() == (
        "2 of 3 classes match by name; not among the run's: cow; only among the run's: owl."
    )
    assert "the data set has no class names" in ClassMatch.by_name(("a",), ()).sentence()


def test_scores_equal_those_of_the_same_scenes_among_the_run_s_own(elsewhere, scorer):
    there = elsewhere({"kitchen": of_theirs(5)}).score()
    own = scorer(everything()).score()
    for row, found in own.splits["cocktail_test"].items():
        assert found.metrics == there.splits["kitchen"][row].metrics


def test_objects_of_other_classes_are_counted(elsewhere):
    made = elsewhere({"kitchen": of_theirs(3) + with_a_cow(2)})
    scores = made.score()
    two = scores.splits["kitchen"][TWO]
    assert (two.evaluated, two.total) == (3, 5)
    assert two.reasons == {"a sounding object is of unknown category": 2}
    assert made.remarks() == ["2 of 3 classes match by name; not among the run's: cow."]


def test_the_run_s_own_scores_stay_and_others_lie_beside_them(elsewhere, scorer):
    own = scorer(everything())
    own.score()
    kept = {path: path.read_bytes() for path in own.run.path.rglob("*.json")}
    made = elsewhere({"test": clips(6), "night": of_theirs(2)})
    made.score()
    assert all(path.read_bytes() == before for path, before in kept.items())
    folder = own.run.path / "elsewhere" / "other-farm"
    assert (folder / "test" / "dsol-solo" / "stage_two" / "items.csv").is_file()
    stored = json.loads((folder / "metrics.json").read_text())
    assert (stored["data"], list(stored["splits"])) == ("other/farm/1.0.0", ["test", "night"])


def test_splits_for_training_are_left_out_and_single_splits_added(elsewhere):
    tests = {"cocktail_test": scenes(3), "unconstrained_test": scenes(2)}
    made = elsewhere({"train": clips(4), "cocktail_train": scenes(4), **tests})
    assert list(made.score().splits) == [*tests]
    assert list(made.score("train").splits) == ["train"]
    [(_, scores, _)] = stored_elsewhere(made.run)
    assert sorted(scores.splits) == ["cocktail_test", "train", "unconstrained_test"]
    assert scores.splits["train"][TWO].protocol.name == "dsol-solo"


def test_nothing_in_common(elsewhere):
    made = elsewhere({"test": clips(4), "kitchen": of_theirs(3)}, names=("a", "b", "c"))
    scores = made.score()
    assert list(scores.splits) == ["test"]  # where is scored without classes, what is not
    assert "0 of 3 classes match by name" in scores.left_out["kitchen"]


def test_without_the_run_s_own_data(elsewhere, scorer):
    own = scorer(everything())
    own.score()
    recorded = SimpleNamespace(info=recorded_info(own.run))
    there = elsewhere({"kitchen": of_theirs(5)}).dataset
    made = ElsewhereScorer(Scorer(own.run, recorded), there, "it is not built")
    rows = made.score().splits["kitchen"]
    assert list(rows) == [TWO, "whole image", "centred box", "random map", *DEAF, "ceiling"]
    assert rows[TWO].metrics["CIoU@0.3"]["value"] == 100
    assert "the run's own data is not there: it is not built." in made.remarks()[1]


def test_the_report_shows_them(elsewhere):
    made = elsewhere({"kitchen": of_theirs(3) + with_a_cow(1)})
    made.score()
    page = write_run_report(made.run, made.own.score(), made.own).read_text()
    assert "(split kitchen) of other/farm/1.0.0" in page
    assert "not among the run&#39;s: cow" in page


def test_other_data_never_take_the_place_of_the_run_s_own(scorer, dataset_of):
    own = scorer(everything())
    record_info(own.run, dataset_of(everything(), name="a/b/1.0.0", fingerprint="1").info)
    same = dataset_of(everything(), name="a/b/1.0.0", fingerprint="1")
    assert Scorer(own.run, same).score().splits
    before = own.run.categories.read_bytes()
    with pytest.raises(ValueError, match=r"a/b/1\.0\.0 is not what .*run was trained on .* --data"):
        Scorer(own.run, dataset_of(everything(), name="a/b/1.0.0", fingerprint="2"))
    assert own.run.categories.read_bytes() == before
