"""What every data set of recordings shares, whatever its annotation files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from avloc.data_pipelines import registry
from avloc.data_pipelines.builders.music.music_dataset_builder import Builder
from avloc.data_pipelines.builders.recordings import RecordingsConfig
from avloc.data_pipelines.collection import Collection, Moment, Object, Recording
from tests.data_pipelines.builders.music_folder import in_this_process, write_music
from tests.videos import damage, pitch, place, truncate, write_video


def build(folder: Path, *recordings: Recording, **settings) -> tfds.core.DatasetBuilder:
    """A data set of one split, in `folder`."""
    collection = Collection(("a", "b"), {"train": recordings}, **settings)
    config = RecordingsConfig(name="x", source=str(folder), collection=collection, workers=0)
    builder = Builder(config=config, data_dir=folder / "data")
    builder.download_and_prepare(file_format="array_record")
    return tfds.builder_from_directory(builder.data_path)


def records(built: tfds.core.DatasetBuilder) -> dict[str, dict]:
    return {r["id"].decode(): r for r in built.as_data_source("train")}


def test_bad_and_missing_videos_are_left_out_counted_and_named(tmp_path):
    videos = {
        "good": write_video(tmp_path / "good.mp4"),
        "mute": write_video(tmp_path / "mute.mp4", sound=False),
        "text": tmp_path / "text.mp4",
        "torn": damage(write_video(tmp_path / "torn.mkv", seconds=6)),
        "short": truncate(write_video(tmp_path / "short.mp4")),
        "gone": None,
    }
    videos["text"].write_text("no video")
    built = build(
        tmp_path,
        *(Recording(id, (number % 2,), path) for number, (id, path) in enumerate(videos.items())),
    )
    metadata = built.info.metadata
    account = metadata["accounts"]["train"]
    clips = built.info.splits["train"].num_examples
    assert 2 + 1 <= clips <= 2 + 4
    counts = {"wanted": 6, "found": 5, "missing": 1, "skipped": 3, "damaged": 1, "clips": clips}
    assert {name: account[name] for name in counts} == counts
    by_class = {"a": [3, 3, 0, 2, 0], "b": [3, 2, 1, 1, 1]}
    for name, expected in by_class.items():
        assert list(account["by_class"][name].values())[:5] == expected
    assert account["missing_ids"] == ["gone"]
    reasons = {id: why.split(" (")[0] for id, why in account["skipped_for"].items()}
    assert reasons == {
        "mute": "no sound track",
        "text": "not a video that can be read",
        "short": "not a video that can be read",
    }
    assert account["damaged_at"]["torn"].startswith("damaged at second")
    summary = metadata["summary"]
    assert summary.startswith(f"train: {clips} clips from 2 of 6 recordings; 1 missing; skipped: m")
    assert "mute (no sound track)" in summary
    assert "used up to the damage: torn (damaged at second" in summary


def test_nothing_usable_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"nothing in it can be used\. train: 0 clips from 0 of 1"):
        build(tmp_path, Recording("a"))
    assert [p for p in (tmp_path / "data").rglob("*") if p.is_file()] == []


def test_annotated_moments_keep_boxes_flags_and_labels(tmp_path):
    path = write_video(tmp_path / "v.mp4", seconds=3)
    objects = (Object((0.1, 0.2, 0.5, 0.6), 1), Object((0, 0, 1, 1), 0, sounding=False))
    moments = (
        Moment("m/1", 0.5, 1.0, objects),
        Moment("m/2", 1.0, 1.52, ()),
        Moment("m/3", 1.0, 1.76, (Object(None, -1),)),
    )
    found = records(build(tmp_path, Recording("v", (0, 1), path, moments=moments)))
    assert sorted(found) == ["m/1", "m/2", "m/3"]
    first = found["m/1"]
    assert (first["video"], first["second"], len(first["frames"])) == (b"v", 0, 1)
    np.testing.assert_allclose(first["objects"]["bbox"], [[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1]])
    assert list(first["objects"]["label"]) == [1, 0]
    assert list(first["objects"]["sounding"]) == [True, False]
    assert list(found["m/2"]["objects"]["label"]) == [0, 1]  # nothing annotated: as the video
    assert not np.any(found["m/2"]["objects"]["bbox"])
    assert place(found["m/2"]["frames"][0]) == pytest.approx(0.52, abs=0.02)
    assert list(found["m/3"]["objects"]["label"]) == [-1]


def test_two_stretches_of_one_video_are_told_apart(tmp_path):
    path = write_video(tmp_path / "v.mp4", seconds=4)
    found = records(
        build(
            tmp_path,
            Recording("v", (0,), path, start=0.0, length=2.0),
            Recording("v", (1,), path, start=1.0, length=2.0),
        )
    )
    assert sorted(found) == ["v#2@1", "v#2@2", "v@0", "v@1"]
    assert {r["video"] for r in found.values()} == {b"v"}
    assert pitch(found["v#2@2"]["waveform"]) == pytest.approx(600, abs=1)
    assert list(found["v#2@1"]["objects"]["label"]) == [1]


def test_a_moment_named_twice_is_refused(tmp_path):
    moment = Moment("m", 0, 0, ())
    with pytest.raises(ValueError, match="m is annotated 2 times in split train"):
        build(tmp_path, Recording("v", moments=(moment, moment)))


def test_pictures_with_sound_and_long_clips(tmp_path):
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "p.jpg")
    sound = write_video(tmp_path / "p.mkv", seconds=5, pictures=False)
    moments = (Moment("p", 0.0, 0.0, (Object((0, 0, 0.5, 0.5), -1),)),)
    still = Recording("p", (), tmp_path / "p.jpg", sound, moments=moments)
    (record,) = records(build(tmp_path, still, clip_seconds=5)).values()
    assert record["waveform"].shape == (80000,)
    assert np.shape(record["frames"]) == (1, 48, 64, 3)
    assert pitch(record["waveform"][64000:]) == pytest.approx(800, abs=1)


def test_a_killed_build_gives_the_same_set(tmp_path):
    """SIGKILL in the middle of decoding and of writing, then resumed; compared bit by bit."""
    source = write_music(tmp_path / "source", seconds=4)
    script = (
        "import sys\n"
        "from avloc.data_pipelines import registry\n"
        "if __name__ == '__main__':\n"
        f"    registry.build('music', {str(source)!r}, sys.argv[1])\n"
    )
    (tmp_path / "run.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    data = tmp_path / "killed"

    def run_until(pattern: str) -> None:
        command = [sys.executable, str(tmp_path / "run.py"), str(data)]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet)
        deadline = time.monotonic() + 120
        while not list(data.glob(pattern)) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    run_until("music/default/.clips/*.zip")
    kept = {path: path.stat().st_mtime_ns for path in data.glob("music/default/.clips/*.zip")}
    assert 0 < len(kept) < 7
    run_until("music/default/incomplete.*/*array_record*")
    clips = list(data.glob("music/default/.clips/*.zip"))
    assert len(clips) == 7
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    with pytest.raises(ValueError, match="not built"):
        registry.open_dataset("music", data)

    with in_this_process():
        resumed = registry.build("music", source, data)
        whole = registry.build("music", source, tmp_path / "whole")
    assert resumed.info.splits.keys() == whole.info.splits.keys()
    for split in whole.info.splits:
        ours, theirs = (built.as_data_source(split) for built in (resumed, whole))
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
                np.testing.assert_array_equal(a, b)
    assert resumed.info.metadata == whole.info.metadata
    assert [path.name for path in (data / "music/default").iterdir()] == ["1.1.0"]
