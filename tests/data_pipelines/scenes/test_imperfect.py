"""Gaps and noise in the single sources: which clips go, what comes in their place."""

from types import SimpleNamespace

import numpy as np
import pytest

from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import training_batches
from avloc.data_pipelines.scenes.imperfect import imperfect
from tests.records import make_dataset, make_records


@pytest.fixture
def dataset():
    """30 clips of three categories in turn, 8 scenes of the first two, 6 clips to test."""
    scenes = make_records(8, videos=2)
    for item in scenes:
        item["id"] = b"scene " + item["id"]
    return make_dataset(train=make_records(30), scenes=scenes, test=make_records(6))


def alter(dataset, **changes):
    return imperfect(dataset, singles="train", scenes="scenes", **changes)


def ids(source):
    return [item["id"].decode() for item in source]


def test_nothing_asked_for_is_the_same_object(dataset):
    assert alter(dataset, missing_categories=0, noise=0.0, seed=3) is dataset


def test_missing_categories_are_the_last(dataset):
    two = alter(dataset, missing_categories=1)
    assert ids(two.source("train")) == [f"item{i}" for i in range(30) if i % 3 < 2]
    assert two.labels("train").tolist() == [0, 1] * 10
    one = alter(dataset, missing_categories=2)
    assert ids(one.source("train")) == [f"item{i}" for i in range(0, 30, 3)]
    assert two.info.num_examples == {"train": 20, "scenes": 8, "test": 6}
    assert one.info.num_examples == {"train": 10, "scenes": 8, "test": 6}
    # Nothing is missing elsewhere, nor among the names.
    for split in ("scenes", "test"):
        assert one.source(split) is dataset.source(split)
        assert one.labels(split).tolist() == dataset.labels(split).tolist()
    assert one.info.class_names == ("a", "b", "c") and dataset.info.num_examples["train"] == 30


def replaced(dataset, **changes):
    """Places of scenes, and which ones, in order; all others must be what they were."""
    made = ids(alter(dataset, **changes).source("train"))
    places = [i for i, name in enumerate(made) if name.startswith("scene")]
    assert [name for i, name in enumerate(made) if i not in places] == [
        f"item{i}" for i in range(30) if i not in places
    ]
    return places, [made[i] for i in places]


def test_noise_replaces_that_share(dataset):
    for share, count in ((0.1, 3), (0.2, 6), (1.0, 30)):
        places, scenes = replaced(dataset, noise=share)
        assert len(places) == count
        # As evenly drawn as the number allows.
        used = np.unique(scenes, return_counts=True)[1]
        assert len(used) == min(count, 8) and used.max() - used.min() <= 1
        assert alter(dataset, noise=share).info.num_examples["train"] == 30
    assert set(replaced(dataset, noise=0.1)[0]) < set(replaced(dataset, noise=0.2)[0])


def test_noise_follows_the_seed_alone(dataset):
    first = replaced(dataset, noise=0.5, seed=1)
    assert replaced(dataset, noise=0.5, seed=1) == first
    assert replaced(dataset, noise=0.5, seed=2) != first


def test_noise_among_the_categories_that_are_left(dataset):
    both = alter(dataset, missing_categories=2, noise=0.3, seed=5)
    names = ids(both.source("train"))
    scenes = {i for i, name in enumerate(names) if name.startswith("scene")}
    assert len(names) == both.info.num_examples["train"] == 10 and len(scenes) == 3
    assert {name for i, name in enumerate(names) if i not in scenes} < {
        f"item{i}" for i in range(0, 30, 3)
    }
    truth = [item["objects"]["label"][0] for item in both.source("train")]
    assert both.labels("train").tolist() == truth


def test_noise_needs_no_labels(dataset):
    def unread(split):
        raise AssertionError("labels were read")

    blind = SimpleNamespace(info=dataset.info, source=dataset.source, labels=unread)
    assert len(alter(blind, noise=0.5).source("train")) == 30


def test_batches_of_it(dataset):
    """The loader numbers items by their place in the altered split."""
    made = alter(dataset, missing_categories=1, noise=0.5)
    batches = list(
        training_batches(made.source("train"), image_size=8, batch_size=5, seed=0, threads=0)
    )
    index = np.concatenate([batch.index for batch in batches])
    labels = np.concatenate([batch.labels[:, 0] for batch in batches])
    assert sorted(index.tolist()) == list(range(20))
    assert labels.tolist() == made.labels("train")[index].tolist()


def test_of_a_stored_data_set(toy):
    made = imperfect(
        toy, singles="train", scenes="cocktail_train", missing_categories=3, noise=0.25
    )
    assert isinstance(toy, Dataset)
    source = made.source("train")
    kept = int((toy.labels("train") < 7).sum())
    assert len(source) == made.info.num_examples["train"] == kept < 64
    several = [len(source[i]["objects"]["label"]) > 1 for i in range(kept)]
    assert sum(several) == round(0.25 * kept)
    single = made.labels("train")[~np.array(several)]
    assert single.max() == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"missing_categories": 3},
            "config.data.missing_categories is 3, but the data set has 3 categories: "
            "leave out 0 to 2",
        ),
        ({"missing_categories": -1}, "leave out 0 to 2"),
        ({"noise": 1.5}, "config.data.noise is a share, 0 to 1, not 1.5"),
        ({"noise": -0.1}, "config.data.noise is a share, 0 to 1, not -0.1"),
    ],
)
def test_what_cannot_be(dataset, changes, sentence):
    with pytest.raises(ValueError) as error:
        alter(dataset, **changes)
    assert str(error.value).endswith(sentence)


def test_categories_that_are_not_known(dataset):
    dataset.info = type(dataset.info)(dataset.info.num_examples)
    with pytest.raises(ValueError, match="has no labels to leave categories out by: set it to 0"):
        alter(dataset, missing_categories=1)
    assert len(alter(dataset, noise=0.5).source("train")) == 30
