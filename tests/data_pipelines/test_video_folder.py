import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from avloc.data_pipelines.builders import decoding
from avloc.data_pipelines.builders.video_folder.folder import (
    Video,
    class_names,
    find_videos,
    folder_slug,
    split_videos,
)
from avloc.data_pipelines.builders.video_folder.video_folder_dataset_builder import (
    Builder,
    VideoFolderConfig,
)
from tests.videos import damage, pitch, place, write_video

SOLO = ("train", "validation", "test")
CELLS = [[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5], [0.5, 0.5, 1, 1]]


def _build(source: Path, data_dir: Path, workers: int = 0) -> tfds.core.DatasetBuilder:
    config = VideoFolderConfig(name=folder_slug(source), source=str(source), workers=workers)
    builder = Builder(config=config, data_dir=data_dir)
    builder.download_and_prepare(file_format="array_record")
    return builder


@pytest.fixture(scope="module")
def built(videos, tmp_path_factory) -> tfds.core.DatasetBuilder:
    """Built by two processes, and opened without its code or source."""
    builder = _build(videos, tmp_path_factory.mktemp("data"), workers=2)
    return tfds.builder_from_directory(builder.data_path)


def _records(builder: tfds.core.DatasetBuilder, split: str) -> list[dict]:
    return list(builder.as_data_source(split))


def test_every_clip_is_there_once_and_no_video_is_in_two_splits(built):
    records = {split: _records(built, split) for split in SOLO if split in built.info.splits}
    ids = [r["id"].decode() for split in records.values() for r in split]
    assert sorted(ids) == sorted(
        f"class {c}/{v}.mp4@{s}" for c in range(4) for v in range(3) for s in range(2)
    )
    homes = {split: {r["video"] for r in part} for split, part in records.items()}
    assert set(homes) == {"train", "test"}  # three videos a class: no validation
    assert not homes["train"] & homes["test"]
    classes = Counter(name.decode().split("/")[0] for name in homes["train"])
    assert classes == {f"class {c}": 2 for c in range(4)}


def test_records_hold_the_video(built):
    for record in _records(built, "test"):
        label = record["objects"]["label"]
        second = int(record["second"])
        assert [f"class {label[0]}"] == [record["video"].decode().split("/")[0]]
        assert np.shape(record["frames"]) == (4, 32, 48, 3)
        expected = 300 + 300 * label[0] + 100 * second
        assert pitch(record["waveform"]) == pytest.approx(expected, abs=1)
        assert record["objects"]["sounding"] == [True]
        assert not np.any(record["objects"]["bbox"])


def test_metadata(built):
    metadata = built.info.metadata
    assert metadata["class_names"] == [f"class {c}" for c in range(4)]
    assert metadata["boxes"] == "none"
    assert metadata["scene_boxes"] == {"cocktail_train": "cell", "cocktail_test": "cell"}
    assert (metadata["videos"], metadata["skipped"], metadata["damaged"]) == (12, [], [])
    assert metadata["summary"].startswith("Built 24 clips from 12 of 12 videos")


def test_scenes_mix_four_videos_of_their_own_split(built):
    sizes = {split: part.num_examples for split, part in built.info.splits.items()}
    assert sizes == {"train": 16, "test": 8, "cocktail_train": 16, "cocktail_test": 8}
    for split in ("cocktail_train", "cocktail_test"):
        for record in _records(built, split):
            assert np.shape(record["frames"]) == (1, 64, 96, 3)  # cells as fine as clips
            np.testing.assert_allclose(record["objects"]["bbox"], CELLS)
            assert sum(record["objects"]["sounding"]) == 2
            if split == "cocktail_test":  # by class
                assert sorted(record["objects"]["label"]) == [0, 1, 2, 3]
    labels = [sorted(r["objects"]["label"]) for r in _records(built, "cocktail_train")]
    assert any(len(set(scene)) < 4 for scene in labels)  # by video, whatever the class


def test_nothing_but_the_data_set_is_left(built):
    folder = Path(built.data_path).parent
    assert [path.name for path in folder.iterdir()] == ["1.3.0"]


def test_labels_do_not_change_what_is_trained_on(videos, built, tmp_path):
    """The same videos under other class names give the same scenes."""
    renamed = tmp_path / videos.name
    for c in range(4):
        (renamed / f"kind {c}").mkdir(parents=True)
        for v in range(3):
            (renamed / f"kind {c}" / f"{v}.mp4").symlink_to(videos / f"class {c}" / f"{v}.mp4")
    again = _build(renamed, tmp_path / "data")
    for ours, theirs in zip(
        _records(built, "cocktail_train"), _records(again, "cocktail_train"), strict=True
    ):
        np.testing.assert_array_equal(ours["waveform"], theirs["waveform"])


def test_flat_folder_has_no_labels(tmp_path):
    source = tmp_path / "flat"
    source.mkdir()
    for v in range(5):
        write_video(source / f"{v}.webm", seconds=1, size=(32, 32), rate=8, frequency=300 + 100 * v)
    built = _build(source, tmp_path / "data")
    assert built.info.metadata["class_names"] == []
    sizes = {split: part.num_examples for split, part in built.info.splits.items()}
    assert sizes == {"train": 3, "validation": 1, "test": 1, "cocktail_train": 3}
    assert {r["objects"]["label"][0] for r in _records(built, "train")} == {-1}
    notes = " ".join(built.info.metadata["notes"])
    assert "cocktail_train show one video that is silent more than once" in notes
    assert "(number of videos in train: 3)" in notes
    assert (
        "no cocktail_test split: scenes mix at least two videos (number of videos in test: 1)"
        in notes
    )
    for record in _records(built, "cocktail_train"):
        np.testing.assert_allclose(record["objects"]["bbox"], CELLS)
        assert sorted(record["objects"]["sounding"]) == [False, False, True, True]


def test_bad_files_are_reported_skipped_and_counted(tmp_path, fill):
    source = fill(tmp_path / "s", 2, 2)
    (source / "class 0" / "text.mp4").write_text("no video")
    (source / "class 0" / "notes.txt").write_text("passed over")
    (source / "class 0" / "._0.mp4").write_text("hidden")
    write_video(source / "class 1" / "mute.mp4", sound=False)
    (source / "class 9").mkdir()
    write_video(source / "class 9" / "flash.mkv", seconds=0.5)
    damage(write_video(source / "class 1" / "torn.mkv", seconds=6))
    built = _build(source, tmp_path / "data")
    metadata = built.info.metadata
    assert {f["file"]: f["reason"].split(" (")[0] for f in metadata["skipped"]} == {
        "class 0/text.mp4": "not a video that can be read",
        "class 1/mute.mp4": "no sound track",
        "class 9/flash.mkv": "shorter than a second",
    }
    (torn,) = metadata["damaged"]
    assert torn["file"] == "class 1/torn.mkv"
    assert torn["reason"].startswith("damaged at second")
    assert metadata["videos"] == 5
    assert metadata["class_names"] == ["class 0", "class 1"]
    clips = sum(
        built.info.splits[split].num_examples for split in SOLO if split in built.info.splits
    )
    assert metadata["summary"].startswith(
        f"Built {clips} clips from 5 of 8 videos; skipped: class 0"
    )
    assert 8 + 2 <= clips <= 8 + 4  # of the torn one what came before the damage


@pytest.mark.parametrize("content", [None, {}, {"a.txt": "x"}, {"a.mp4": "x", "b.mp4": "y"}])
def test_useless_folders_are_refused_and_leave_nothing(tmp_path, content):
    source = tmp_path / "source"
    if content is not None:
        source.mkdir()
        for name, text in content.items():
            (source / name).write_text(text)
    sentence = "no such folder" if content is None else "no video in this folder"
    if content and "a.mp4" in content:
        sentence = r"none of its 2 videos can be used: a\.mp4 \(not a video"
    with pytest.raises(ValueError, match=sentence):
        _build(source, tmp_path / "data")
    left = [p for p in (tmp_path / "data").rglob("*") if p.is_file()]
    assert left == []


def test_interrupted_build_goes_on_where_it_stopped(videos, tmp_path, monkeypatch):
    real, calls = decoding.cut, []

    def cut_until_interrupted(path, max_side, **settings):
        calls.append(path)
        if len(calls) == 5:
            raise KeyboardInterrupt
        yield from real(path, max_side, **settings)

    monkeypatch.setattr(decoding, "cut", cut_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        _build(videos, tmp_path)
    assert list(tmp_path.rglob("*.array_record*")) == []
    first, calls[:] = calls[:4], []
    monkeypatch.setattr(decoding, "cut", lambda p, s, **more: calls.append(p) or real(p, s, **more))
    built = _build(videos, tmp_path)
    assert len(calls) == 8
    assert not set(calls) & set(first)
    assert built.info.splits["train"].num_examples == 16


def test_a_changed_video_is_decoded_again(tmp_path, fill):
    source = fill(tmp_path / "s", 1, 1)
    (video,) = find_videos(source)
    before = video.fingerprint()
    write_video(video.path, seconds=3, size=(48, 32))
    assert video.fingerprint() != before


def _videos(**classes: int) -> list[Video]:
    return [
        Video(Path(f"/{name}/{i}.mp4"), f"{name}/{i:03d}.mp4", name)
        for name, count in classes.items()
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (3, (2, 0, 1)),
        (4, (2, 1, 1)),
        (10, (7, 1, 2)),
        (100, (70, 10, 20)),
    ],
)
def test_share_of_each_split(count, expected):
    splits, _ = split_videos(_videos(a=count), seed=0)
    assert tuple(len(splits.get(name, ())) for name in SOLO) == expected


def test_splits_are_by_class_seeded_and_disjoint():
    videos = _videos(a=10, b=20, c=1)
    splits, notes = split_videos(videos, seed=3)
    assert sorted(video for part in splits.values() for video in part) == sorted(videos)
    per_class = {name: Counter(v.category for v in part) for name, part in splits.items()}
    assert per_class == {
        "train": {"a": 7, "b": 14, "c": 1},
        "validation": {"a": 1, "b": 2},
        "test": {"a": 2, "b": 4},
    }
    assert notes == ["class 'c' has one video: it is used for training and never tested"]
    assert splits == split_videos(videos, seed=3)[0]
    assert splits != split_videos(videos, seed=4)[0]


def test_names(tmp_path):
    assert folder_slug(tmp_path / "My Band, 2024") == "my_band_2024"
    assert folder_slug(tmp_path / "音乐") == "videos"
    assert class_names(_videos(b=1, a=1)) == ["a", "b"]


def _annotate(source: Path, *entries: dict, name: str = "annotations.json") -> None:
    (source / name).write_text(json.dumps(list(entries)))


def _entry(video: str, second: int = 0, **changes) -> dict:
    return {"video": video, "second": second, "bbox": [0.5, 0.25, 0.25, 0.5]} | changes


@pytest.fixture(scope="module")
def split_folders(tmp_path_factory) -> tfds.core.DatasetBuilder:
    """Two classes in folders of splits, and boxes for some seconds of the test videos."""
    source = tmp_path_factory.mktemp("source") / "own"
    for top, count in (("train", 4), ("solo_test", 1)):
        for c, kind in enumerate(("cat", "dog")):
            (source / top / kind).mkdir(parents=True)
            for v in range(count):
                video = source / top / kind / f"{v}.mp4"
                write_video(video, size=(48, 32), rate=24, frequency=300 + 300 * c)
    _annotate(
        source,
        _entry("solo_test/cat/0.mp4", **{"class": "cat"}),
        _entry("solo_test/dog/0.mp4", 1, bbox=[0, 0, 0.5, 0.5]),
        _entry("solo_test/dog/0.mp4", 1, bbox=[0.5, 0.5, 0.5, 0.5]),
        _entry("solo_test/dog/7.mp4"),
        name="solo_test_annotations.json",
    )
    seen = _entry("train/cat/0.mp4", 1, sounding=False, **{"class": "dog"})
    _annotate(source, seen, _entry("train/cat/0.mp4", 1), _entry("train/cat/0.mp4", 9))
    return _build(source, tmp_path_factory.mktemp("data"))


def test_folders_of_splits_are_the_splits(split_folders):
    homes = {
        split: {record["video"].decode() for record in _records(split_folders, split)}
        for split in SOLO
    }
    assert homes["test"] == {"solo_test/cat/0.mp4", "solo_test/dog/0.mp4"}
    assert len(homes["train"]) == 6 and len(homes["validation"]) == 2  # one of four of each class
    assert all(name.startswith("train/") for name in homes["train"] | homes["validation"])
    assert split_folders.info.metadata["class_names"] == ["cat", "dog"]


def test_annotated_seconds_carry_their_boxes(split_folders):
    records = {
        record["id"].decode(): record for split in SOLO for record in _records(split_folders, split)
    }
    cat = records["solo_test/cat/0.mp4@0"]["objects"]
    np.testing.assert_allclose(cat["bbox"], [[0.25, 0.5, 0.75, 0.75]])
    assert (list(cat["label"]), list(cat["sounding"])) == ([0], [True])
    dog = records["solo_test/dog/0.mp4@1"]["objects"]
    np.testing.assert_allclose(dog["bbox"], [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    assert list(dog["label"]) == [1, 1]
    both = records["train/cat/0.mp4@1"]["objects"]  # its own class comes first
    assert (list(both["label"]), list(both["sounding"])) == ([0, 1], [True, False])
    assert not np.any(records["solo_test/cat/0.mp4@1"]["objects"]["bbox"])


def test_the_middle_frame_is_that_of_the_middle_of_the_second(split_folders):
    for record in _records(split_folders, "test"):
        assert len(record["frames"]) == 5
        assert place(record["frames"][2]) == pytest.approx(0.5, abs=0.06)


def test_boxes_that_match_nothing_are_counted_and_told(split_folders):
    metadata = split_folders.info.metadata
    assert (metadata["boxes"], metadata["boxes_used"], metadata["max_objects"]) == (
        "annotated",
        5,
        2,
    )
    assert metadata["boxes_unmatched"] == ["train/cat/0.mp4@9", "solo_test/dog/7.mp4@0"]
    assert (
        "5 boxes from annotations.json and solo_test_annotations.json for 3 clips; "
        "2 match no video and second here and are left out: "
        "train/cat/0.mp4@9, solo_test/dog/7.mp4@0"
    ) in metadata["summary"]


def test_test_scenes_have_boxes_where_all_their_classes_do(split_folders):
    boxes = {"cocktail_train": "cell", "cocktail_test": "moved"}
    assert split_folders.info.metadata["scene_boxes"] == boxes
    for record in _records(split_folders, "cocktail_test"):
        objects = {name: np.asarray(value) for name, value in record["objects"].items()}
        sizes = objects["bbox"][:, 2:] - objects["bbox"][:, :2]
        cats = objects["label"] == 0  # a quarter wide, half as high, of its cell
        np.testing.assert_allclose(sizes[cats], [[0.25, 0.125]] * cats.sum(), atol=0.01)
        np.testing.assert_allclose(sizes[~cats], [[0.25, 0.25]] * (~cats).sum(), atol=0.01)


@pytest.mark.parametrize("kinds", [2, 3])
def test_test_scenes_of_few_classes_look_as_training_scenes(kinds, fill, tmp_path):
    built = _build(fill(tmp_path / "s", kinds, 2), tmp_path / "data")
    summary = built.info.metadata["summary"]
    assert f"number of classes in test: {kinds}" in summary
    assert all(part[0].isupper() for part in summary.split(". ")), summary
    for record in _records(built, "cocktail_test"):
        assert np.shape(record["frames"]) == (1, 64, 96, 3)
        np.testing.assert_allclose(record["objects"]["bbox"], CELLS)
        sounding = np.asarray(record["objects"]["sounding"])
        labels = np.asarray(record["objects"]["label"])
        assert sounding.sum() == kinds - 1  # each class that is heard, once
        assert len(set(labels[sounding])) == kinds - 1
        (silent,) = set(labels[~sounding])
        assert silent not in labels[sounding]


def test_a_changed_file_of_boxes_is_another_state(fill, tmp_path):
    source = fill(tmp_path / "s", 1, 2)
    before = Builder.config_of(source).fingerprint()
    _annotate(source, _entry("class 0/0.mp4"))
    assert Builder.config_of(source).fingerprint() != before


def test_a_video_beside_the_folders_of_splits_is_refused(tmp_path):
    for name in ("train/a/1.mp4", "test/a/1.mp4", "b/1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    with pytest.raises(
        ValueError, match=r"folders test, train are taken .* but b/1\.mp4 is in none"
    ):
        find_videos(tmp_path)
    for path in (tmp_path / "test").rglob("*.mp4"):
        path.unlink()
    assert {video.category for video in find_videos(tmp_path)} == {"train", "b"}
