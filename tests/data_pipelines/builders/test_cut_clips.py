"""Clips that were cut out of longer videos without decoding: the right second, or none.

The video has a key frame every 5 s; seconds 8 to 18 of it are wanted.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines.builders.audioset_instrument import (
    audioset_instrument_dataset_builder as audio,
)
from avloc.data_pipelines.builders.ave import ave_dataset_builder as ave
from avloc.data_pipelines.builders.vggsound import vggsound_dataset_builder as vggsound
from avloc.data_pipelines.builders.vggsound_duet import vggsound_duet_dataset_builder as duet
from avloc.data_pipelines.builders.vggss import vggss_dataset_builder as vggss
from avloc.data_pipelines.checks.doctor import examine
from avloc.data_pipelines.checks.inspection import inspect
from avloc.data_pipelines.collection import Folder, Part
from avloc.data_pipelines.media.video import cut
from avloc.data_pipelines.media.youtube_clips import YouTubeClips
from tests.videos import copy_part, counted, pitch, write_counted

AFTER, BEFORE = "AAAAAAAAAA0", "AAAAAAAAAA1"  # begins at the key frame after the start, or before
IDS = (AFTER, BEFORE)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    video = write_counted(folder / "whole.mp4")
    source = folder / "source"
    source.mkdir()
    copy_part(video, source / f"{AFTER}_000008.mp4", 8, 10)
    copy_part(video, source / f"{BEFORE}_000008.mkv", 8, 10, key_before=True)  # 13 s from 5 on
    entries = [{"file": f"{id}_000008", "class": "cat", "bbox": [[0, 0, 1, 1]]} for id in IDS]
    (source / "vggss.json").write_text(json.dumps(entries))
    return source


def build(module, source: Path, data: Path):
    config = replace(module.Builder.config_of(source), workers=0)
    builder = module.Builder(config=config, data_dir=data)
    builder.download_and_prepare(file_format="array_record")
    splits = {
        split: dict(sorted((r["id"].decode(), r) for r in builder.as_data_source(split)))
        for split in builder.info.splits
    }
    return splits, builder.info.metadata


def doctor(module, source: Path):
    collection = module.Builder.config_of(source).collection
    paths = {r.path for split in collection.splits.values() for r in split if r.path}
    return examine(collection, {path: inspect(path) for path in paths})


def test_vggss_takes_the_annotated_second_or_none(clips, tmp_path):
    splits, about = build(vggss, clips, tmp_path)
    ((name, record),) = splits["test"].items()
    assert name == f"{AFTER}_000008"
    assert counted(record["frames"][0]) == pytest.approx(13, abs=0.3)
    assert pitch(record["waveform"][:8000]) == pytest.approx(400 + 1200, abs=3)
    assert pitch(record["waveform"][8000:]) == pytest.approx(400 + 1300, abs=3)
    account = about["accounts"]["test"]
    assert account["start_not_known"] == {BEFORE: 13.0}
    assert account["absent_moments"] == []
    assert "1 too long for the part that they are named for" in about["summary"]
    assert f"{BEFORE} (13 s)" in about["summary"]
    times = doctor(vggss, clips).splits["test"].times
    assert (times.unsure, times.longer) == ([BEFORE], [])


def test_vggsound_duet_leaves_out_a_pair_that_is_not_sure(clips, tmp_path):
    source = shutil.copytree(clips, tmp_path / "source")
    copy_part(clips.parent / "whole.mp4", source / "AAAAAAAAAA2_000008.mp4", 8, 10)
    entries = json.loads((source / "vggss.json").read_text())
    more = {**entries[0], "file": "AAAAAAAAAA2_000008"}
    (source / "vggss.json").write_text(json.dumps([*entries, more]))
    pairs = [(AFTER, BEFORE), (AFTER, "AAAAAAAAAA2")]
    rows = (f"{one}_000008,cat,{other}_000008,cat\n" for one, other in pairs)
    (source / "vggsound_duet_test.csv").write_text("".join(rows))
    splits, about = build(duet, source, tmp_path)
    ((_, record),) = splits["test"].items()
    assert [counted(part) for part in np.split(record["frames"][0], 2, axis=1)] == pytest.approx(
        [13, 13], abs=0.3
    )
    assert about["accounts"]["test"]["start_not_known"] == {BEFORE: 13.0}


def test_vggsound_trains_on_what_surely_lies_in_the_wanted_part(clips, tmp_path):
    source = shutil.copytree(clips, tmp_path / "source")
    for name, id in (("trainsolo", BEFORE), ("trainsyn", AFTER), ("eval", "AAAAAAAAAA3")):
        (source / f"{name}.txt").write_text(f"{id}.flac {id}.mp4\n")
    rows = (f'{id},8,"cat",train\n' for id in (*IDS, "AAAAAAAAAA3"))
    (source / "vggsound.csv").write_text("".join(rows))
    splits, about = build(vggsound, source, tmp_path)
    assert list(splits["train"]) == [f"{BEFORE}@{second}" for second in range(3, 10)]
    shown = [counted(record["frames"][1]) for record in splits["train"].values()]
    assert shown == pytest.approx(range(8, 15), abs=0.3)
    # The other file has no pictures in its first two seconds.
    shown = {name: counted(record["frames"][1]) for name, record in splits["synthesis"].items()}
    assert shown == pytest.approx({f"{AFTER}@{s}": 8 + s for s in range(2, 10)}, abs=0.3)
    assert about["accounts"]["train"]["start_not_known"] == {BEFORE: 13.0}
    assert doctor(vggsound, source).splits["train"].items == 7


def test_ave_takes_what_surely_lies_in_the_event(clips, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(clips / f"{AFTER}_000008.mp4", source / f"{AFTER}.mp4")
    shutil.copy(clips / f"{BEFORE}_000008.mkv", source / f"{BEFORE}.mkv")
    events = "".join(f"Bark&{id}&good&2&8\n" for id in IDS)
    rows = {"trainSet.txt": "", "valSet.txt": "", "testSet.txt": events, "Annotations.txt": events}
    for name, content in rows.items():
        (source / name).write_text("Category&VideoID&Quality&StartTime&EndTime\n" + content)
    splits, _ = build(ave, source, tmp_path)
    shown = {name: counted(record["frames"][1]) for name, record in splits["test"].items()}
    # The event is seconds 10 to 16 of the video.
    expected = {f"{AFTER}@{s}": 8 + s for s in range(2, 8)}
    expected |= {f"{BEFORE}@{s}": 5 + s for s in range(5, 8)}
    assert shown == pytest.approx(expected, abs=0.3)


def test_audioset_takes_the_annotated_second_or_none(clips, tmp_path):
    source = shutil.copytree(clips, tmp_path / "source")
    box = {"category": 1, "normbox": [0, 0, 1, 1]}
    boxes = {f"{id}/5": {"bbox": [box]} for id in IDS}
    (source / "audioset_box.json").write_text(json.dumps(boxes))
    images = [{"id": 5}, {"id": 15}]
    found = [{"image_id": i["id"], "category_id": 0, "bbox": [0, 0, 1, 1]} for i in images]
    coco = {"categories": [{"id": 0, "name": "Banjo"}], "images": images, "annotations": found}
    (source / "multi_source_coco.json").write_text(json.dumps(coco))
    rows = "".join(f'{id}, 8.000, 18.000, "/m/018j2"\n' for id in IDS)
    (source / "balanced_train_segments.csv").write_text(rows)
    splits, about = build(audio, source, tmp_path)
    ((name, record),) = splits["test"].items()
    assert name == f"{AFTER}/5"
    assert counted(record["frames"][0]) == pytest.approx(13, abs=0.3)
    assert pitch(record["waveform"]) == pytest.approx(400 + 1300, abs=3)
    assert about["accounts"]["test"]["start_not_known"] == {BEFORE: 13.0}


@pytest.mark.parametrize(
    ("length", "before", "early"),
    [(10.2, 30, 0), (13.2, 30, 3.2), (13.2, 0, 0), (13.2, 2, 2), (7, 30, 0), (None, 30, 0)],
)
def test_how_early_a_part_may_begin(length, before, early):
    assert Part(10, before).early(length) == pytest.approx(early)


def test_a_part_of_unknown_place_is_not_taken_for_the_whole_video(clips, tmp_path):
    shutil.copy(clips / f"{BEFORE}_000008.mkv", tmp_path / f"{BEFORE}.mkv")
    shutil.copy(clips.parent / "whole.mp4", tmp_path / f"{AFTER}.mp4")
    files = YouTubeClips(Folder(tmp_path))
    assert files.find(BEFORE, 8.0)[1:] == (0, 10, Part(10, 8))  # 8 to 18 s are not in 13 s
    assert files.find(AFTER, 8.0)[1:] == (8, 10, None)


def test_flickr_sound_counts_from_its_own_start(clips, tmp_path):
    """A sound cut out of a longer one may keep its clock."""
    Image.new("RGB", (48, 32)).save(tmp_path / "a.png")
    sound = copy_part(clips.parent / "whole.mp4", tmp_path / "a.mkv", 8, 6, clock=8)
    (clip,) = cut(tmp_path / "a.png", seconds=5, length=5.0, sound=sound)
    assert pitch(clip.waveform[:15000]) == pytest.approx(400 + 800, abs=3)
