import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avloc.data_pipelines import registry
from avloc.data_pipelines.annotations.music import (
    MUSIC_CLASSES,
    first_videos,
    read_pairs,
    read_videos,
)
from avloc.data_pipelines.builders.music.music_dataset_builder import Builder, collection
from avloc.data_pipelines.builders.music21 import music21_dataset_builder as music21
from avloc.data_pipelines.collection import Folder
from avloc.data_pipelines.dataset import Dataset
from tests.data_pipelines.builders.music_folder import key, write_annotations, write_music
from tests.real_annotations import REAL
from tests.videos import pitch, place, write_video

CELLO, FLUTE, VIOLIN = (MUSIC_CLASSES.index(name) for name in ("cello", "flute", "violin"))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    return write_music(tmp_path_factory.mktemp("music") / "source")


@pytest.fixture(scope="module")
def built(source, tmp_path_factory) -> Dataset:
    return Dataset(registry.build("music", source, tmp_path_factory.mktemp("data")))


def records(dataset: Dataset, split: str) -> dict[str, dict]:
    return {r["id"].decode(): r for r in dataset.source(split)}


def test_splits_are_the_authors(built):
    assert built.info.class_names == MUSIC_CLASSES
    videos = {
        split: sorted({r["video"].decode() for r in built.source(split)})
        for split in built.info.num_examples
    }
    assert videos == {
        "train": ["cello-00001", "violin-0001"],
        "synthesis": ["cello-00002"],
        "test": ["cello-00003", "violin-0003"],
        "duet_train": ["duet-000001"],
        "duet_test": ["duet-000002"],
    }  # all of the validation list is tested on, but the one that is missing
    assert sorted(records(built, "train")) == [
        f"{id}@{second}" for id in ("cello-00001", "violin-0001") for second in range(3)
    ]
    assert Counter(built.labels("train").tolist()) == {CELLO: 3, VIOLIN: 3}


def test_a_test_record_is_an_annotated_frame_with_its_second_of_sound(built):
    found = records(built, "test")
    assert sorted(found) == sorted(
        key(id, second, number)
        for id, second, number in [
            ("violin-0003", 0, 13),
            ("violin-0003", 1, 37),
            ("violin-0003", 2, 80),
            ("cello-00003", 1, 44),
        ]
    )
    for id, number, second, rate, frequency in (
        ("violin-0003", 37, 1, 25.0, 800),
        ("cello-00003", 44, 1, 30 / 1.001, 500),
    ):
        record = found[key(id, second, number)]
        (frame,) = record["frames"]
        shown = round(number / 30 * rate) / rate  # by time, not by number
        assert place(frame) == pytest.approx(shown % 1, abs=0.02)
        assert record["second"] == second
        assert pitch(record["waveform"]) == pytest.approx(frequency + 100 * second, abs=1)
        np.testing.assert_allclose(record["objects"]["bbox"], [[0.25, 0.125, 0.75, 0.625]])
        assert record["objects"]["label"] == [VIOLIN if id[0] == "v" else CELLO]
        assert record["objects"]["sounding"] == [True]


def test_a_frame_without_a_box_has_the_label_of_its_video(built):
    objects = records(built, "test")[key("violin-0003", 2, 80)]["objects"]
    assert objects["label"] == [VIOLIN]
    assert not np.any(objects["bbox"])


def test_duets_have_two_objects(built):
    (record,) = built.source("duet_test")
    np.testing.assert_allclose(
        record["objects"]["bbox"], [[0, 0, 0.75, 0.25], [0.25, 0.5, 0.75, 1]]
    )
    assert list(record["objects"]["label"]) == [FLUTE, VIOLIN]
    assert all(list(r["objects"]["label"]) == [FLUTE, VIOLIN] for r in built.source("duet_train"))


def test_what_became_of_everything_is_written_down(built):
    account = built.metadata["accounts"]
    counts = {"wanted": 2, "found": 2, "missing": 0, "skipped": 0, "damaged": 0, "clips": 4}
    assert {name: account["test"][name] for name in counts} == counts
    assert account["test"]["by_class"]["cello"]["clips"] == 1
    assert account["test"]["absent_moments"] == [
        key("cello-00003", 9, 283),
        key("cello-00003", 9, 290),
    ]
    assert account["validation"]["missing_ids"] == ["violin-0002"]
    assert account["validation"]["by_class"]["violin"]["missing"] == 1
    # Frames of the 25 a second video lie at 40 ms: 13/30 s is 6.7 from the nearest, 37/30 and 80/30
    # are 6.7 and 13.3; 44/30 s is 1.5 ms from frame 44 of the other, which shows it later.
    offsets = account["test"]["frame_offset_ms"]
    assert offsets["largest"] == pytest.approx(13.3, abs=0.1)
    assert offsets["median"] == pytest.approx(6.7, abs=0.1)
    summary = built.metadata["summary"]
    assert "test: 4 clips from 2 of 2 recordings; frames 6.7 ms from" in summary
    assert "2 annotated moments are not in the video: cello-00003_0_1000/frame_009" in summary
    assert "2 of validation are kept in test and removed from validation." in summary
    assert "1 of duet_test left out, not in duettest.json: duet-000003." in summary
    assert built.metadata["boxes"] == "annotated"
    assert built.metadata["max_objects"] == 2


def test_training_ids_are_not_tested_unless_asked_for(tmp_path):
    folder = write_annotations(tmp_path / "a")
    testing = folder / "lists" / "solo_training_1.txt"
    testing.write_text(testing.read_text() + "cello-00003_0_1000.flac cello-00003_0_1000.mp4\n")

    def ids(config: str | None) -> dict[str, list[str]]:
        splits = Builder.config_of(folder, config).collection.splits
        return {split: [r.id for r in part] for split, part in splits.items()}

    assert ids(None)["test"] == ["violin-0003"]
    assert ids(None)["train"] == ["cello-00001", "violin-0001", "cello-00003"]
    assert ids("allow_overlap")["test"] == ["violin-0003", "cello-00003"]
    assert ids("allow_overlap")["validation"] == ["violin-0002"]
    notes = Builder.config_of(folder).collection.notes
    assert "1 of test are kept in train and removed from test" in notes
    assert any("1 id is in both train (3) and test (2): cello-00003" in n for n in notes)
    with pytest.raises(
        ValueError, match="music has no configuration 'overlap'; it has default, al"
    ):
        ids("overlap")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("solotest.json", None, r"solotest\.json is not in this folder; get it from github"),
        ("lists/solo_testing.txt", "a b c\n", r"solo_testing\.txt.*must be a sound file and a"),
        (
            "MUSIC_solo_videos.json",
            '{"videos": {"kazoo": ["kazoo-00001"]}}',
            r"kazoo-00001 is of 'kazoo', not one of the 11",
        ),
    ],
)
def test_bad_annotations_are_refused_by_name(tmp_path, name, content, sentence):
    folder = write_annotations(tmp_path / "a")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ValueError, match=sentence):
        Builder.config_of(folder)


def test_sound_files_beside_the_videos_are_heard(tmp_path):
    folder = write_annotations(tmp_path / "a")
    write_video(folder / "cello-00001.mp4", seconds=1, sound=False)
    (folder / "cello-00001.flac").touch()
    recording, _ = collection(Folder(folder)).splits["train"]
    assert recording.path.name == "cello-00001.mp4"
    assert recording.sound.name == "cello-00001.flac"


@pytest.mark.skipif(REAL is None, reason="the authors' annotation files are not ours to ship")
def test_the_authors_files():
    found = collection(Folder(REAL / "music"))
    sizes = {split: len(part) for split, part in found.splits.items()}
    assert sizes == {
        "train": 217,
        "synthesis": 223,
        "validation": 22,
        "test": 27,
        "duet_train": 124,
        "duet_test": 16,
    }
    moments = {
        split: [m for r in part for m in r.moments or ()] for split, part in found.splits.items()
    }
    assert (len(moments["test"]), len(moments["duet_test"])) == (13472, 11512)
    assert sum(not m.objects for m in moments["test"]) == 1116
    assert sum(not m.objects for m in moments["duet_test"]) == 1228
    assert sum(len({o.label for o in m.objects}) == 1 for m in moments["duet_test"]) == 5533
    assert any("27 ids are in both validation (49) and test (27)" in n for n in found.notes)
    assert "27 of validation are kept in test and removed from validation" in found.notes


def test_music21_is_tested_on_the_first_five_of_each_class_whatever_videos_there_are(tmp_path):
    videos = {name: [f"{name}-{i:05d}"[:11] for i in range(10)] for name in ("bass0", "drum0")}
    videos["drum0"].reverse()  # the list's order counts, not the names'
    (tmp_path / music21.VIDEOS).write_text(json.dumps({"version": 2.0, "videos": videos}))
    found = music21.collection(Folder(tmp_path))
    assert found.classes == ("bass0", "drum0")
    sizes = {s: Counter(r.labels for r in part) for s, part in found.splits.items()}
    assert sizes == {
        "train": {(0,): 5, (1,): 5},
        "test": {(0,): 5, (1,): 5},
    }
    assert [r.id for r in found.splits["test"]] == videos["bass0"][:5] + videos["drum0"][:5]
    listed = [r.id for part in found.splits.values() for r in part]
    assert sorted(listed) == sorted(id for ids in videos.values() for id in ids)
    (tmp_path / f"{listed[0]}.mp4").touch()
    again = music21.collection(Folder(tmp_path))
    assert [r.id for part in again.splits.values() for r in part] == listed
    assert sum(r.path is not None for part in again.splits.values() for r in part) == 1


@pytest.mark.skipif(REAL is None, reason="the authors' annotation files are not ours to ship")
def test_the_authors_tested_on_the_first_five_of_each_class():
    first, rest = first_videos(read_videos(REAL / "music" / "MUSIC_solo_videos.json"), 5)
    tested = read_pairs(REAL / "music" / "solo_testing.txt")
    assert len(first) == 55 and len(tested) == 27 and set(tested) <= set(first)
    assert len(rest) == 536 - 55


def test_separation_has_long_clips_and_its_own_splits(tmp_path):
    """The first solo of each instrument is for validation, the second tests; lists are not read."""
    folder = write_annotations(tmp_path / "a")
    for name in ("lists/solo_training_1.txt", "solotest.json"):
        next(folder.rglob(Path(name).name)).unlink()
    found = Builder.config_of(folder, "separation").collection
    assert {split: [r.id for r in part] for split, part in found.splits.items()} == {
        "train": ["cello-00003", "violin-0003"],
        "validation": ["cello-00001", "violin-0001"],
        "test": ["cello-00002", "violin-0002"],
        "duet_train": ["duet-000001", "duet-000002", "duet-000003"],
    }
    assert found.clip_seconds == 6
    assert found.splits["duet_train"][0].labels == (FLUTE, VIOLIN)
    assert found.splits["test"][0].labels == (CELLO,)
