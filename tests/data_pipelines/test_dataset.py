"""An opened data set knows its splits, sizes and names."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from avloc.cli import main
from avloc.data_pipelines import registry
from avloc.data_pipelines.annotations.music import MUSIC_CLASSES
from avloc.data_pipelines.builders.music import music_dataset_builder
from avloc.data_pipelines.builders.recordings import RecordingsConfig
from avloc.data_pipelines.builders.toy_orchestra.toy_orchestra_dataset_builder import Builder
from avloc.data_pipelines.collection import Collection, Recording
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.scenes.imperfect import imperfect
from tests.data_pipelines.builders.music_folder import in_this_process, write_music
from tests.videos import write_video


def test_info(toy):
    assert toy.info.class_names == Builder.builder_configs["tiny"].class_names
    assert toy.info.num_examples == {
        "train": 64,
        "validation": 16,
        "test": 16,
        "cocktail_train": 16,
        "cocktail_validation": 16,
        "cocktail_test": 16,
    }
    assert all(len(toy.source(split)) == size for split, size in toy.info.num_examples.items())
    assert toy.metadata["boxes"] == "exact"


def test_labels_are_the_records(toy):
    labels = toy.labels("validation")
    records = toy.source("validation")
    assert [int(records[i]["objects"]["label"][0]) for i in range(16)] == labels.tolist()
    # Two clips a video, a class a video in turn.
    assert np.bincount(labels, minlength=10).tolist() == [2] * 8 + [0] * 2


def test_the_clip_that_follows_is_of_the_same_video_and_the_next_second(toy):
    following = toy.following("train")
    records = [toy.source("train")[i] for i in range(64)]
    moments = [(r["video"], int(r["second"])) for r in records]
    for (video, second), after in zip(moments, following, strict=True):
        if after < 0:
            assert (video, second + 1) not in moments
        else:
            assert moments[after] == (video, second + 1)
    assert 0 < (following >= 0).sum() < 64
    assert toy.following("train") is following  # read once
    # A scene is a video of its own.
    assert (toy.following("cocktail_train") == -1).all()
    with pytest.raises(ValueError, match="has no split 'duets'"):
        toy.following("duets")


def test_clips_that_were_changed_have_no_successor(toy):
    changed = imperfect(toy, singles="train", scenes="cocktail_train", missing_categories=1)
    assert (changed.following("train") == -1).all()
    assert len(changed.following("train")) == changed.info.num_examples["train"] < 64
    np.testing.assert_array_equal(changed.following("test"), toy.following("test"))
    assert changed.folder == toy.folder


def test_a_data_set_knows_where_it_lies(toy):
    assert (toy.folder / "dataset_info.json").is_file()


def test_unknown_split(toy):
    with pytest.raises(ValueError) as error:
        toy.source("duets")
    assert str(error.value).startswith("toy_orchestra/tiny/1.3.0 has no split 'duets'; it has ")
    assert "cocktail_test, cocktail_train, cocktail_validation, test, train" in str(error.value)


@pytest.mark.parametrize(("stored", "slots"), [(None, 12), (3, 12), (31, 31)])
def test_slots_are_twelve_or_what_the_largest_item_needs(toy, monkeypatch, stored, slots):
    metadata = toy.builder.info.metadata | ({} if stored is None else {"max_objects": stored})
    monkeypatch.setattr(type(toy.builder.info), "metadata", metadata)
    assert Dataset(toy.builder).info.max_objects == slots


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    """A folder of data sets: music, and one of the same classes with another split."""
    folder = tmp_path_factory.mktemp("music")
    with in_this_process():
        registry.build("music", write_music(folder / "source"), folder / "data")
    video = write_video(folder / "more.mp4", size=(32, 32))
    recordings = (Recording("more", (2,), video),)
    collection = Collection(MUSIC_CLASSES, {"cocktail_test": recordings})
    config = RecordingsConfig(name="more", source="", collection=collection, workers=0)
    more = music_dataset_builder.Builder(config=config, data_dir=folder / "data")
    more.download_and_prepare(file_format="array_record")
    return folder / "data"


def test_two_data_sets_are_read_as_one(music):
    solos, scenes = (Dataset.open(name, music) for name in ("music", "music/more"))
    both = Dataset.open("music+music/more", music)
    assert both.info.num_examples == solos.info.num_examples | scenes.info.num_examples
    assert asdict(both.info)["class_names"] == solos.info.class_names
    assert both.info.max_objects == max(solos.info.max_objects, scenes.info.max_objects)
    for part in (solos, scenes):
        for split, size in part.info.num_examples.items():
            ids = [record["id"] for record in both.source(split)]
            assert ids == [record["id"] for record in part.source(split)]
            assert len(ids) == size
    np.testing.assert_array_equal(both.labels("test"), solos.labels("test"))
    assert both.metadata["fingerprint"] == solos.metadata["fingerprint"]
    with pytest.raises(ValueError, match=r"default/1\.1\.0\+music/more.* has no split 'solo'"):
        both.source("solo")


def test_data_sets_that_do_not_go_together(music, toy):
    registry.build("toy_orchestra/tiny", data_dir=music)
    with pytest.raises(
        ValueError,
        match=r"cannot be joined: their classes differ \(11: accordion, .* and \d+: .*\)",
    ):
        Dataset.open("music+toy_orchestra/tiny", music)
    with pytest.raises(ValueError, match="cannot be joined: more than one has train, synthesis"):
        Dataset.open("music+music", music)
    with pytest.raises(ValueError, match="no data set is called ''"):
        Dataset.open("music+", music)


def test_the_list_says_where_data_come_from(music, capsys):
    assert main(["data", "list", "--data-dir", str(music)]) == 0
    said = capsys.readouterr().out
    entry = said.split("\n\nmusic/default: ")[1].split("\n\n")[0].splitlines()
    assert entry[0] == "solos and duets of 11 instruments, tested on boxes"
    assert "train 6, duet_train 3" in entry[1] or "duet_test 1" in entry[1]
    assert entry[2].startswith("  made from videos by YouTube id")
    assert entry[3].startswith("  published at github.com/roudimit/MUSIC_dataset")
    synthetic = said.split("\n\nmusic_synthetic: ")[1]
    assert "made from the built music, or the published archive" in synthetic
