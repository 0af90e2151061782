import csv
import json

import numpy as np
import pytest

from avloc.data_pipelines.loader import evaluation_batches
from avloc.evaluation import Evaluation
from avloc.evaluation.baselines import DEAF
from avloc.reports.run import _annotated, write_run_report
from avloc.scoring.scores import Scores, stored_scores
from avloc.training.loading import load_run
from avloc.types import Batch
from tests.scoring.halves import (
    LEFT,
    NAMES,
    clips,
    everything,
    record,
    scenes,
    wild_scenes,
)

ROWS = [
    "BRIGHTNESS after stage two",
    "BRIGHTNESS after stage one alone",
    "untrained network",
    "whole image",
    "centred box",
    "random map",
    "ceiling",
]
SCENE_ROWS = [*ROWS[:-1], *DEAF, "ceiling"]


def test_every_row_of_both_splits(scorer):
    scores = scorer(everything()).score()
    assert scores.left_out == {}
    assert {split: list(rows) for split, rows in scores.splits.items()} == {
        "test": ROWS,
        "cocktail_test": SCENE_ROWS,
    }
    rows = scores.splits["cocktail_test"]
    two, one, untrained, _, centred = list(rows.values())[:5]
    objects, sounds, ceiling = list(rows.values())[-3:]
    assert two.metrics["CIoU@0.3"]["value"] == ceiling.metrics["CIoU@0.3"]["value"] == 100
    assert two.metrics["AUROC"]["value"] == 1 and one.metrics["AUROC"]["value"] == 0.5
    # An even map is all of the scene, of which the drum's box is half.
    assert {row["ciou"] for row in one.items} == {0.5}
    assert untrained.metrics == one.metrics
    assert centred.evaluated == 5
    # One of two halves sounds: both of them are half right.
    assert {row["ciou"] for row in objects.items} == {0.5}
    assert {row["ciou"] for row in sounds.items} == {1.0}
    assert "sounding mAP30" not in sounds.metrics and not sounds.items[0]["heard"]


def test_clusters_are_named_by_training_clips(scorer):
    made = scorer(everything())
    rows = made.score().splits["test"]
    for network in ROWS[:3]:
        assert rows[network].metrics["NMI"]["value"] == 1
        assert rows[network].metrics["purity"]["value"] == 0  # every test clip bears the other name
    assert json.loads(made.run.categories.read_text())["of_cluster"] == [0, 1]


def test_the_untrained_network_takes_no_step_but_clusters(scorer):
    made = scorer(everything())
    untrained = list(made.networks())[-1]
    assert untrained.variables["params"]["gain"] == 0 and untrained.aux["shift"] == 1
    assert made.categories(untrained).of_cluster == (1, 0)


def test_what_is_written(scorer):
    made = scorer(everything())
    scores = made.score()
    folder = made.run.evaluation / "cocktail_test" / "dsol-synthetic"
    assert {path.name for path in folder.iterdir()} == {
        "stage_two",
        "stage_one",
        "untrained",
        "whole_image",
        "centred_box",
        "random_map",
        *(row.replace(" ", "_") for row in DEAF),
        "ceiling",
    }
    with (folder / "stage_two" / "items.csv").open() as file:
        assert [row["index"] for row in csv.DictReader(file)] == list("01234")
    stored = stored_scores(made.run)
    assert stored.to_json() == scores.to_json() and stored.text() == scores.text()
    first = json.loads((made.run.path / "metrics.json").read_text())["splits"]["test"][ROWS[0]]
    assert (first["protocol"], first["evaluated"], first["total"]) == ("dsol-solo", 6, 6)


def test_damaged_scores_are_not_believed(scorer):
    made = scorer(everything())
    assert stored_scores(made.run) is None
    made.score()
    file = made.run.path / "metrics.json"
    text = file.read_text()
    file.write_text(text.replace('"protocol_version": 3', '"protocol_version": 2'))
    assert stored_scores(made.run) is None
    file.write_text(text[:100])
    assert stored_scores(made.run) is None


def test_one_stage_under_another_protocol(scorer):
    made = scorer(everything())
    scores = made.score(protocol="half-maximum", stage="stage_one")
    assert list(scores.splits) == ["test"] and list(scores.splits["test"]) == [ROWS[1]]
    assert {path.name for path in made.run.evaluation.iterdir()} == {"test"}
    assert not (made.run.path / "metrics.json").exists() and not made.run.categories.exists()


def test_another_split_is_scored_as_what_it_holds(scorer):
    made = scorer({**everything(), "validation": clips(4), "more_scenes": scenes(4)})
    for split, protocol in (("validation", "dsol-solo"), ("more_scenes", "dsol-synthetic")):
        rows = made.score(split=split, stage="stage_two").splits[split]
        assert rows[ROWS[0]].protocol.name == protocol and rows[ROWS[0]].evaluated == 4


def test_one_category_is_nothing_to_tell_apart(scorer):
    """Where every row would get 1, none does: in the table, in the file, and read back."""
    items = {"train": clips(8), "test": clips(6), "cocktail_test": scenes(5)}
    for one in (*items["train"], *items["test"]):
        one["objects"]["label"] *= 0
    made = scorer(items, names=("bell",), scene_tests=())
    scores = made.score()
    for row in ROWS[:3]:
        found = scores.splits["test"][row]
        assert not {"NMI", "purity", "audio NMI"} & set(found.metrics)
        assert found.undefined == dict.fromkeys(("NMI", "purity", "audio NMI"), "one category")
        assert "  NMI: not scored: one category" in found.summary()
    assert "NMI, audio NMI, purity: not scored: one category" in scores.text()
    read = stored_scores(made.run)
    assert read.text() == scores.text()
    (data,) = json.loads((made.run.path / "metrics.json").read_text())["splits"].values()
    assert data[ROWS[0]]["undefined"]["NMI"] == "one category"
    report = write_run_report(made.run, scores, None).read_text()
    assert "not scored: one category" in report


def test_clips_without_boxes_are_scored_for_their_clusters_only(scorer):
    scores = scorer({**everything(), "test": clips(6, boxed=False)}).score()
    assert list(scores.splits["test"]) == ROWS[:3]
    assert set(scores.splits["test"][ROWS[0]].metrics) == {"NMI", "purity", "audio NMI"}
    assert scores.remarks() == [
        "Split test: localization not scored in 6 of 6 items: a sounding object has no box."
    ]


def test_data_without_class_names(scorer):
    splits = {"train": clips(8, known=False), "cocktail_test": scenes(5)}
    for item in splits["cocktail_test"]:
        item["objects"]["label"][:] = -1
    made = scorer(splits, names=())
    scores = made.score()
    assert scores.splits == {} and not made.run.categories.exists()
    assert scores.left_out == {
        "test": "the data set has no such split",
        "cocktail_test": "the data set has no class names (5 items)",
    }
    assert "cocktail_test is not scored" in scores.text()
    page = write_run_report(made.run, scores, made).read_text()
    assert "1 of 2 objects sound" in page and "object 2 (0.70)" in page


def wild():
    """Two kinds of scenes."""
    return {**everything(), "wild_test": wild_scenes(5)}


def test_every_kind_of_scenes_is_scored(scorer):
    made = scorer(wild(), scene_tests=("cocktail_test", "wild_test"))
    scores = made.score()
    assert list(scores.splits) == ["test", "cocktail_test", "wild_test"]
    two, *_, ceiling = scores.splits["wild_test"].values()
    # The bell's map is 0.3 on the dark half, more than the protocol's 0.2.
    assert two.metrics["off-screen false alarms"]["value"] == 100
    assert two.metrics["off-screen AUROC"]["value"] == 1
    assert ceiling.metrics["off-screen false alarms"]["value"] == 0
    # Scores by sound are 0.3 and 0.7, and both sound.
    assert two.metrics["recall"]["value"] == 0.5 and ceiling.metrics["mAP"]["value"] == 1
    assert [table.title for table in scores.tables()] == [
        "One source at a time (split test)",
        "Scenes with silent objects (split cocktail_test)",
        "What is heard: Scenes with silent objects (split cocktail_test)",
        "Scenes with off-screen sounds (split wild_test)",
        "What is heard: Scenes with off-screen sounds (split wild_test)",
    ]
    tables = {table.title: table for table in scores.tables()}
    places, heard = list(tables.values())[-2:]
    assert places.columns[1:] == ["CIoU@0.3", "AUC", "NSA", *places.columns[4:]]
    assert "mAP" in heard.columns and not set(places.columns[1:]) & set(heard.columns[1:])
    page = write_run_report(made.run, scores, made).read_text()
    # Four of each kind of scenes, and the clips.
    assert page.count("<img") == 4 + 4 + 6
    assert page.count("<figcaption>Scene (wild_test). Truth (above) sounding: drum;") == 4
    assert page.count("silent: nothing; off screen: bell.") == 2 * 4  # caption and its alt text
    assert "off screen" not in page.split("Scene (wild_test)")[0].split("Scene (cocktail_test)")[1]
    assert stored_scores(made.run).text() == scores.text()


def test_names_are_those_of_the_run_s_own_threshold(scorer):
    """The drum's score is 0.7, the bell's 0.3, and only the drum sounds in the picture."""
    made = scorer(wild(), scene_tests=("cocktail_test", "wild_test"))
    for threshold, precision, words in (
        (
            0.2,
            0.5,
            {"cocktail_test": "bell wrong 0.3000; ", "wild_test": "bell off screen 0.3000; "},
        ),
        (0.5, 1, {"cocktail_test": "", "wild_test": ""}),
    ):
        with made.config.unlocked():
            made.config.inference.sounding = threshold
        scores = made.score()
        for split, bell in words.items():
            found = scores.splits[split][ROWS[0]]
            assert found.metrics["named precision"]["value"] == precision
            assert found.metrics["named recall"]["value"] == 1
            assert {row["named"] for row in found.items} == {f"{bell}drum right 0.7000"}
        told = f"Named: score of {threshold:g} or more, as localize."
        noted = [table.title for table in scores.tables() if told in table.note]
        assert noted == [
            "Scenes with silent objects (split cocktail_test)",
            "Scenes with off-screen sounds (split wild_test)",
        ]
    # Every threshold up to 0.5 is reached by the centred box.
    centred = scores.splits["wild_test"]["centred box"].metrics
    assert (centred["named precision"]["value"], centred["named recall"]["value"]) == (0.5, 1)
    assert "all heard most" not in scores.splits["wild_test"][ROWS[0]].metrics  # both sound
    assert scores.splits["cocktail_test"][ROWS[0]].metrics["all heard most"]["value"] == 1
    assert scores.splits["cocktail_test"]["centred box"].metrics["all heard most"]["value"] == 0
    assert stored_scores(made.run).text() == scores.text()


def test_ablation_cells_score_the_trained_stages_alone(scorer):
    made = scorer(everything(), baselines=False)
    scores = made.score()
    assert {split: list(rows) for split, rows in scores.splits.items()} == {
        "test": ROWS[:2],
        "cocktail_test": ROWS[:2],
    }
    assert "The centred box" not in write_run_report(made.run, scores, made).read_text()


def test_a_split_may_have_a_protocol_of_its_own(scorer):
    splits = everything() | {"duet_test": scenes(2)}
    scene_tests = ("cocktail_test", "duet_test")
    made = scorer(splits, scene_tests=scene_tests, split_protocols={"duet_test": "dsol-duet"})
    names = {
        split: {row.protocol.name for row in rows.values()}
        for split, rows in made.score().splits.items()
    }
    assert names == {
        "test": {"dsol-solo"},
        "cocktail_test": {"dsol-synthetic"},
        "duet_test": {"dsol-duet"},
    }
    assert made.score("duet_test").splits["duet_test"]["ceiling"].protocol.name == "dsol-duet"


def test_clusters_are_named_as_the_protocol_says(scorer):
    """Seven of eight clips bear the drum's label, so that both clusters are drums by majority."""
    splits = everything()
    for item in splits["train"][2:]:
        item["objects"]["label"][:] = 1
    made = scorer(splits, single_protocol="dsol-solo", scene_protocol="ier")
    rows = made.score().splits["test"]
    assert json.loads(made.run.categories.read_text())["of_cluster"] == [1, 1]
    assert [row["category"] for row in rows[ROWS[0]].clusters[:2]] == ["bell", "drum"]


def test_the_report_tells_of_the_run(scorer):
    made = scorer(everything())
    made.run.history.write_text(
        json.dumps({"phase": "learn", "epoch": 1, "step": 8, "loss": 0.5, "retrieval": 0.25}) + "\n"
    )
    scores = made.score()
    page = write_run_report(made.run, scores, made).read_text()
    assert page.count("<img") == 5 + 6 and page.count("<svg") == 2
    assert "sounding: drum; silent: bell. Found (below) bell (0.30), drum (0.70)." in page
    for text in (*ROWS, "BRIGHTNESS on halves", "clusters were named after", "purity", "dsol-solo"):
        assert text in page
    without = write_run_report(made.run, scores, None, "the data are gone").read_text()
    assert "<img" not in without and "the data are gone" in without


def test_boxes_of_a_wide_scene_are_drawn_where_they_are():
    records = [record(0, (0, 0), [((0.25, 0.5, 0.75, 1), 1, True), (LEFT, 0, False)])]
    item = next(iter(evaluation_batches(records, image_size=8, batch_size=1, threads=0)))
    one = Batch(*(None if x is None else x[0] for x in item))
    drawn = _annotated(np.full((100, 200, 3), 60, np.uint8), one, NAMES)
    changed = (drawn != 60).any(-1)
    rows, columns = np.nonzero(changed[:, 120:])
    assert (rows.min(), rows.max()) == (25, 74) and columns.max() + 120 == 199
    assert changed[50, 99:102].any() and not changed[50, 105:195].any()


def test_scores_survive_json(scorer):
    scores = scorer(everything()).score()
    again = Scores.from_json(json.loads(json.dumps(scores.to_json())))
    evaluation = again.splits["test"]["ceiling"]
    assert isinstance(evaluation, Evaluation)
    assert evaluation.protocol == scores.splits["test"]["ceiling"].protocol
    assert evaluation.metrics == scores.splits["test"]["ceiling"].metrics


def test_the_verdict_is_first_in_the_report_and_survives_json(scorer):
    made = scorer(everything() | {"test": clips(6)})
    scores = made.score()
    told = "It tells 2 of 2 kinds apart, on 6 videos that it never trained on."
    assert scores.verdict.sentences()[0] == told
    assert scores.text().split("\n\n")[-1].startswith(f"Verdict. {told}")
    page = write_run_report(made.run, stored_scores(made.run), made).read_text()
    assert page.index(told) < page.index("A network learned, from pictures")
    assert made.score("test").verdict is None  # not all of the run


def test_the_verdict_on_clips_that_are_all_named_wrongly(scorer):
    made = scorer(everything())  # every test clip bears the other name
    judged = made.score().verdict
    assert judged.missed == NAMES and not judged.above_chance
    assert judged.confused == (("bell", "drum", 3, 3), ("drum", "bell", 3, 3))
    assert judged.advice[0] == "add training videos of bell (now 4), drum (now 4)"


def test_the_verdict_without_classes_compares_sight_and_hearing(scorer):
    unnamed = {"train": clips(8, known=False), "test": clips(8, known=False)}
    judged = scorer(unnamed, names=()).score().verdict
    # Cluster 1 is always heard best; every second clip is seen as it.
    assert (judged.named, judged.videos, judged.above_chance) == (False, 8, False)


def test_clusters_are_named_by_what_stage_one_put_into_them(scorer):
    """Later features may put a clip elsewhere; the papers name by the assignment that was made."""
    made = scorer(everything())
    network = next(iter(made.networks()))
    assert made.categories(network).of_cluster == (0, 1)  # as predicted
    assigned = np.arange(8) % 2
    kept = network._replace(aux={**network.aux, "labels": 1 - assigned})
    assert made.categories(kept).of_cluster == (1, 0)
    # Nothing clustered yet, or other clips than these: as predicted.
    for labels in (np.zeros(8, int), 1 - assigned[:6]):
        other = network._replace(aux={**network.aux, "labels": labels})
        assert made.categories(other).of_cluster == (0, 1)
    with made.config.unlocked():
        made.config.data.noise = 0.5
    assert made.categories(kept).of_cluster == (0, 1)


def test_the_threshold_is_chosen_on_validation_mixtures(scorer):
    """Scores are 0.3 and 0.7 whatever is heard: up to 0.3 both kinds are named, which is best."""
    validation = [{**one, "waveform": np.full(16000, 900, np.int16)} for one in clips(6)]
    made = scorer({**everything(), "validation": validation})
    scores = made.score()
    stored = json.loads((made.run.path / "thresholds.json").read_text())
    assert list(stored) == ["stage_one", "stage_two"]
    two = stored["stage_two"]
    assert (two["value"], two["scenes"], two["precision"], two["recall"]) == (0.15, 100, 0.5, 1)
    row = scores.splits["cocktail_test"][ROWS[0]]
    assert (row.named_from, row.metrics["named precision"]["value"]) == (0.15, 0.5)
    assert scores.splits["cocktail_test"]["centred box"].named_from == 0.15  # as what is shipped
    assert "It is chosen on 100 scenes of 4 validation clips" in scores.text()
    assert stored_scores(made.run).text() == scores.text()
    assert load_run(made.run.path).config.inference.sounding == 0.15
    page = write_run_report(made.run, scores, made).read_text()
    assert page.index("What is named: Scenes") < page.index("One source at a time")
    assert "Found (below) bell (0.30), drum (0.70)" in page
    (made.run.path / "thresholds.json").write_text("[")
    with pytest.raises(ValueError, match=r"thresholds\.json is damaged: remove it"):
        load_run(made.run.path)


def test_without_a_validation_split_the_threshold_is_the_config_s(scorer):
    made = scorer(everything())
    scores = made.score(split="cocktail_test", stage="stage_two")
    row = scores.splits["cocktail_test"][ROWS[0]]
    assert (row.named_from, row.named_by) == (
        0.2,
        "the config's, as the data set has no validation split",
    )
    assert not (made.run.path / "thresholds.json").exists()
