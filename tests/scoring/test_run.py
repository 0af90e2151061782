import csv
import json
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs.csol import base
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.evaluation import Evaluation
from avloc.reports.run import _annotated, write_run_report
from avloc.runs.checkpoints import record_info, save_stage
from avloc.runs.folder import RunFolder
from avloc.scoring.run import Scorer
from avloc.scoring.scores import Scores, stored_scores
from avloc.training.methods import METHODS
from avloc.types import Batch, DatasetInfo, Phase, Prediction, TrainState

NAMES = ("bell", "drum")
CELLS = 8
LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)


class Brightness:
    """Bright halves of a picture are of cluster 1, dark ones of cluster 0.

    `gain` is what training learns: at 0 maps and scores are even, at 1 the maps are the halves and
    cluster 1 sounds. The cluster of a clip is that of its brighter half, plus `shift`, which the
    first refresh sets to 1.
    """

    def __init__(self, config, info, axis_name=None):
        self.config = config

    def init(self, key, batch):
        return {"params": {"gain": jnp.zeros(())}}, {"shift": jnp.zeros((), jnp.int32)}

    def phases(self):
        yield Phase("learn", "train", 1, "localization", None, checkpoint_name="stage_one")
        yield Phase(
            "more",
            "train",
            1,
            "localization",
            None,
            refresh=self.refresh,
            checkpoint_name="stage_two",
        )

    def refresh(self, state: TrainState, scan, key):
        mean = scan(brightness, state, "train")
        assert mean.shape == (8,)
        return state._replace(aux={"shift": jnp.ones((), jnp.int32)})

    def predict(self, variables, aux, batch):
        size = batch.image.shape[1] // CELLS
        bright = (batch.image[:, ::size, ::size, 0] > 128).astype(jnp.float32)
        gain = variables["params"]["gain"]
        one = 0.5 + gain * (bright - 0.5)
        cluster = (bright.mean((1, 2)) > 0.4).astype(jnp.int32)
        scores = jnp.tile(0.5 + gain * jnp.array([-0.2, 0.2]), (len(batch.image), 1))
        found = (cluster + aux["shift"]) % 2
        maps = jnp.stack([1 - one, one], -1) * scores[:, None, None]
        return Prediction(maps, scores, scores, one, found)


def brightness(variables, aux, batch):
    return batch.image.astype(jnp.float32).mean((1, 2, 3))


def record(number, bright, objects, video=None):
    """A picture whose left and right halves are bright or not; no box is a sound off screen."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16], image[:, 16:] = (np.uint8(255 * b) for b in bright)
    boxes, labels, sounding = zip(*objects, strict=True)
    offscreen = [box is None for box in boxes]
    return {
        "id": f"item {number}".encode(),
        "video": f"video {number if video is None else video}".encode(),
        "frames": np.stack([image] * 3),
        "waveform": np.zeros(16000, np.int16),
        "objects": {
            "bbox": np.array([box or (0, 0, 0, 0) for box in boxes], np.float32),
            "label": np.array(labels),
            "sounding": np.array(sounding),
            "offscreen": np.array(offscreen),
            "level_db": np.zeros(len(boxes), np.float32),
        },
    }


def clips(count, flipped=False, boxed=True, known=True):
    """Every second one bright on its left, which is where the object is: a drum, unless flipped."""
    place = LEFT if boxed else (0, 0, 0, 0)
    return [
        record(i, (i % 2, 0), [(place, ((i + flipped) % 2) if known else -1, True)])
        for i in range(count)
    ]


def scenes(count):
    """A silent bell on the dark left, a drum that sounds on the bright right."""
    return [record(i, (0, 1), [(LEFT, 0, False), (RIGHT, 1, True)]) for i in range(count)]


def wild_scenes(count):
    """A drum that sounds on the bright right; a bell that is heard and not seen."""
    return [record(i, (0, 1), [(RIGHT, 1, True), (None, 0, True)]) for i in range(count)]


@pytest.fixture
def scorer(tmp_path, monkeypatch):
    """Makes a scorer of a run on data of given splits."""
    monkeypatch.setitem(METHODS, "brightness", Brightness)

    def make(splits, names=NAMES, scene_tests=("cocktail_test",), **evaluation):
        config = base()
        config.method, config.clusters, config.batch_size, config.image_size = (
            "brightness",
            2,
            3,
            32,
        )
        config.data.name, config.data.threads = "halves", 0
        config.data.scene_tests = scene_tests
        config.evaluation.update(evaluation)
        config.lock()
        sizes = {name: len(items) for name, items in splits.items()}
        dataset = Dataset.__new__(Dataset)
        dataset.info = DatasetInfo(sizes, tuple(names))
        dataset.builder = SimpleNamespace(info=SimpleNamespace(full_name="halves"))
        dataset._open = splits.__getitem__
        run = RunFolder(tmp_path / "run")
        run.open_for_training(config)
        record_info(run, dataset.info)
        for name, gain in (("stage_one", 0.0), ("stage_two", 1.0)):
            variables = {"params": {"gain": jnp.float32(gain)}}
            state = TrainState(variables, {}, {"shift": jnp.zeros((), jnp.int32)}, 0)
            save_stage(run, name, state)
        return Scorer(run, dataset)

    return make


def everything():
    # Clips of the test split bear the other label, so that names fitted on it would show.
    return {"train": clips(8), "test": clips(6, flipped=True), "cocktail_test": scenes(5)}


ROWS = [
    "BRIGHTNESS after stage two",
    "BRIGHTNESS after stage one alone",
    "untrained network",
    "centred box",
    "random map",
    "ceiling",
]


def test_every_row_of_both_splits(scorer):
    scores = scorer(everything()).score()
    assert scores.left_out == {}
    assert {split: list(rows) for split, rows in scores.splits.items()} == {
        "test": ROWS,
        "cocktail_test": ROWS,
    }
    two, one, untrained, centred, _, ceiling = scores.splits["cocktail_test"].values()
    assert two.metrics["CIoU@0.3"]["value"] == ceiling.metrics["CIoU@0.3"]["value"] == 100
    assert two.metrics["AUROC"]["value"] == 1 and one.metrics["AUROC"]["value"] == 0.5
    # An even map is all of the scene, of which the drum's box is half.
    assert {row["ciou"] for row in one.items} == {0.5}
    assert untrained.metrics == one.metrics
    assert centred.evaluated == 5


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
        "centred_box",
        "random_map",
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
    file.write_text(text.replace('"protocol_version": 2', '"protocol_version": 1'))
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
