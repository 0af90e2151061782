"""Clips that were cut out of longer videos without decoding: the right second, or none.

The video has a key frame every 5 s; seconds 8 to 18 of it are wanted.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from avloc.data_pipelines.builders.audioset_instrument import (
    audioset_instrument_dataset_builder as audio,
)
from avloc.data_pipelines.builders.ave import ave_dataset_builder as ave
from avloc.data_pipelines.builders.vggsound import vggsound_dataset_builder as vggsound
from avloc.data_pipelines.builders.vggsound_duet import vggsound_duet_dataset_builder as duet
from avloc.data_pipelines.builders.vggss import vggss_dataset_builder as vggss
from avloc.data_pipelines.checks.doctor import examine
from avloc.data_pipelines.checks.inspection import inspect
from tests.videos import copy_part, counted, pitch, write_counted

AFTER, BEFORE = "AAAAAAAAAA0", "AAAAAAAAAA1"  # begins at the key frame after the start, or before
LENGTH = "13.0 s"  # of what begins at second 5


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    video = write_counted(folder / "whole.mp4")
    source = folder / "source"
    source.mkdir()
    copy_part(video, source / f"{AFTER}_000008.mp4", 8, 10)
    copy_part(video, source / f"{BEFORE}_000008.mkv", 8, 10, key_before=True)
    entries = [{"file": f"{id}_000008", "class": "cat", "bbox": [[0, 0, 1, 1]]} for id in IDS]
    (source / "vggss.json").write_text(json.dumps(entries))
    return source


IDS = (AFTER, BEFORE)


def build(module, source: Path, data: Path):
    config = replace(module.Builder.config_of(source), workers=0)
    builder = module.Builder(config=config, data_dir=data)
    builder.download_and_prepare(file_format="array_record")
    splits = {
        split: {record["id"].decode(): record for record in builder.as_data_source(split)}
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
    assert f"1 too long for the part that they are named for, so where in {''}" in about["summary"]
    assert f"{BEFORE} (13 s)" in about["summary"]
    times = doctor(vggss, clips).splits["test"].times
    assert (times.unsure, times.longer) == ([BEFORE], [])
