"""Sound that cannot be heard, or not in mono, or is none: in builds, and what the doctor says."""

import json

import numpy as np
import pytest
import scipy.io.wavfile
import tensorflow_datasets as tfds

from avloc.data_pipelines import registry
from avloc.data_pipelines.builders.scenes import SoloClips
from avloc.data_pipelines.builders.video_folder.plan import planned
from avloc.data_pipelines.builders.video_folder.video_folder_dataset_builder import (
    Builder,
    VideoFolderConfig,
)
from avloc.data_pipelines.checks.doctor import examine, useless
from avloc.data_pipelines.checks.inspection import inspect
from avloc.data_pipelines.checks.records import check_records
from avloc.data_pipelines.collection import Moment, Object, Recording
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.media.waveform import is_silent
from avloc.reports.data_tables import source_summary
from tests.data_pipelines.builders.test_recordings import build, records
from tests.videos import pitch, write_video

SMALL = {"seconds": 2, "size": (32, 32), "rate": 8}
BOX = [0.1, 0.1, 0.5, 0.5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Given splits; of two seconds each, one video is muted, one nearly, one cancels in mono."""
    source = tmp_path_factory.mktemp("source") / "band"
    for name, gains in (
        ("train/loud", (1, 1)),
        ("train/cancel", (1, -1)),
        ("train/muted", (0, 0)),
        ("train/faint", (2e-4, 2e-4)),
        ("test/loud", (1, 1)),
        ("test/dark", (0, 0)),
    ):
        path = source / f"{name.partition('/')[0]}/tone/{name.partition('/')[2]}.mkv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, gains=gains, **SMALL)
    boxes = [{"video": "test/tone/loud.mkv", "second": 1, "bbox": BOX}]
    (source / "annotations.json").write_text(json.dumps(boxes))
    return source


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    builder = Builder(
        config=VideoFolderConfig(name="band", source=str(folder), workers=0), data_dir=data
    )
    builder.download_and_prepare(file_format="array_record")
    return tfds.builder_from_directory(builder.data_path)


def test_silent_clips_are_left_out_and_counted(built):
    metadata = built.info.metadata
    assert metadata["silent"] == {
        f"{name}.mkv": "2 clips"
        for name in ("test/tone/dark", "train/tone/faint", "train/tone/muted")
    }
    assert metadata["one_channel"] == {"train/tone/cancel.mkv": "2 clips"}
    skipped = {row["file"]: row["reason"] for row in metadata["skipped"]}
    assert set(skipped.values()) == {"nothing can be heard in it"} and len(skipped) == 3
    summary = metadata["summary"]
    assert "Built 6 clips from 3 of 6 videos" in summary
    assert "silent clips left out: test/tone/dark.mkv (2 clips), train/tone/faint.mkv" in summary
    assert "channels cancel in mono, the loudest is taken: train/tone/cancel.mkv (2 c" in summary
    for split in built.info.splits:
        for record in built.as_data_source(split):
            assert not is_silent(record["waveform"])
            if record["video"] == b"train/tone/cancel.mkv":
                assert pitch(record["waveform"]) == pytest.approx(400 + 100 * record["second"], 1)


def test_the_doctor_counts_them_before_the_build(folder):
    facts = {path: inspect(path, decode=True) for path in folder.rglob("*.mkv")}
    named = {path.stem: fact for path, fact in facts.items() if path.parts[-3] == "train"}
    assert (named["faint"].silent, named["cancel"].one_channel) == (2, 2)
    assert (named["loud"].silent, named["cancel"].silent) == (0, 0)
    wanted = planned(folder, 0).without(useless(facts, 1))
    findings = examine(wanted, facts)
    findings.decoded = True
    said = " ".join(source_summary(findings).split())
    assert "3 of 6 videos cannot be used: test/tone/dark.mkv (nothing can be heard in it)" in said
    assert "Channels cancel in mono: 1 videos (train/tone/cancel.mkv)" in said
    assert findings.splits["train"].items == 4


def wav(path, wave, rate=16000):
    scipy.io.wavfile.write(path, rate, np.asarray(wave, np.float32))
    return path


def test_annotated_silence_stays_and_is_counted(tmp_path):
    tone = 0.5 * np.sin(np.arange(48_000))
    tone[16_000:32_000] *= 1e-4
    video = write_video(tmp_path / "a.mkv", sound=False, **SMALL | {"seconds": 3})
    sound = wav(tmp_path / "a.wav", tone)
    moments = tuple(Moment(f"a/{s}", s, s + 0.5, (Object(None, 0),)) for s in range(3))
    made = build(
        tmp_path,
        Recording("a", (0,), video, sound, moments=moments),
        Recording("b", (1,), video, sound),
    )
    assert sorted(records(made)) == ["a/0", "a/1", "a/2", "b@0", "b@2"]
    account = made.info.metadata["accounts"]["train"]
    assert account["silent"] == {"a/1": None, "b": "1 clip"} and account["clips"] == 5
    summary = made.info.metadata["summary"]
    assert "silent clips left out: b (1 clip); annotated, but silent: a/1" in summary


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (np.nan, "the sound holds NaN or infinity: give finite samples"),
        (-np.inf, "the sound holds NaN or infinity: give finite samples"),
        (1e30, "the sound is float32 up to 1e+30: give -1..1"),
    ],
)
def test_sound_that_is_none_is_skipped_and_named(tmp_path, value, why):
    video = write_video(tmp_path / "a.mkv", sound=False, **SMALL)
    bad = 0.5 * np.sin(np.arange(32_000))
    good = wav(tmp_path / "good.wav", bad)
    bad[5000] = value
    bad = wav(tmp_path / "bad.wav", bad)
    made = build(tmp_path, Recording("good", (0,), video, good), Recording("bad", (1,), video, bad))
    account = made.info.metadata["accounts"]["train"]
    assert account["skipped"] == 1 and account["clips"] == 2
    assert account["skipped_for"]["bad"].startswith(f"{bad}: {why}")


def test_a_silent_clip_makes_no_scene(tmp_path):
    tone = 0.5 * np.sin(np.arange(32_000))
    tone[:16_000] = 0
    video = write_video(tmp_path / "a.mkv", sound=False, **SMALL)
    moments = tuple(Moment(f"a/{s}", s, s + 0.5, (Object(None, 0),)) for s in range(2))
    made = build(
        tmp_path, Recording("a", (0,), video, wav(tmp_path / "a.wav", tone), moments=moments)
    )
    clips = SoloClips(made, "train")
    silent = [is_silent(record["waveform"]) for record in made.as_data_source("train")]
    assert sorted(silent) == [False, True]
    np.testing.assert_array_equal(clips.usable, ~np.array(silent))


def test_the_doctor_of_a_built_set_counts_near_silence(tmp_path):
    tone = 0.5 * np.sin(np.arange(32_000))
    tone[:16_000] *= 1e-4
    video = write_video(tmp_path / "a.mkv", sound=False, **SMALL)
    moments = tuple(Moment(f"a/{s}", s, s + 0.5, (Object(None, 0),)) for s in range(2))
    build(tmp_path, Recording("a", (0,), video, wav(tmp_path / "a.wav", tone), moments=moments))
    opened = Dataset(registry.open_folder(next((tmp_path / "data/music/x").glob("[0-9]*"))))
    assert check_records(opened).splits["train"].silent == ["a/0"]
