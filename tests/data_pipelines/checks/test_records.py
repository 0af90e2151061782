"""Records spoilt one by one, and found."""

from types import SimpleNamespace

import numpy as np

from avloc.data_pipelines.checks.records import check_records
from tests.records import make_dataset, make_records


def checked(**splits):
    dataset = make_dataset(**splits)
    return check_records(SimpleNamespace(**vars(dataset), metadata={"notes": ["hello"]}))


def test_sound_records_are_counted_and_nothing_is_said():
    found = checked(train=make_records(3))
    split = found.splits["train"]
    assert (split.records, split.videos, split.objects) == (3, 3, 3)
    assert split.classes == {"a": 1, "b": 1, "c": 1}
    faults = (split.outside, split.empty, split.unlabelled, split.silent, split.duplicates)
    assert not any(faults) and split.unplaced == 0 and found.shared_frames == []
    assert found.metadata == {"notes": ["hello"]}


def test_each_fault_is_found():
    records = make_records(6, videos=6)
    for i, record in enumerate(records):
        record["frames"] = [np.full((8, 8, 3), i, np.uint8)]
        record["objects"]["label"] = [np.int32(0)]
    records[0]["objects"]["bbox"] = [np.float32([0.5, 0.5, 1.2, 0.9])]
    records[1]["objects"]["bbox"] = [np.float32([0.5, 0.5, 0.5, 0.9])]
    records[2]["objects"]["label"] = [np.int32(-1)]
    records[3]["waveform"] = np.zeros(16000, np.int16)
    records[4]["objects"]["bbox"] = [np.float32([0, 0, 0, 0])]
    records[5]["frames"] = records[4]["frames"]
    split = checked(test=records).splits["test"]
    assert (split.outside, split.empty, split.unlabelled) == (["item0"], ["item1"], ["item2"])
    assert (split.silent, split.duplicates) == (["item3"], [["item4", "item5"]])
    assert split.unplaced == 1 and split.classes == {"a": 5}


def test_an_offscreen_sound_needs_no_place():
    (record,) = make_records(1)
    record["objects"] |= {"bbox": [np.zeros(4, np.float32)], "offscreen": [np.True_]}
    assert checked(test=[record]).splits["test"].unplaced == 0


def test_a_spectrogram_in_place_of_a_waveform():
    loud, silent = make_records(2)
    loud["waveform"] = silent["waveform"] = np.zeros(0, np.int16)
    loud["log_mel"] = np.random.default_rng(0).normal(size=(201, 64)).astype(np.float32)
    silent["log_mel"] = np.full((201, 64), -100, np.float32)
    assert checked(test=[loud, silent]).splits["test"].silent == ["item1"]


def test_pictures_in_two_splits():
    found = checked(train=make_records(3), test=make_records(1))
    assert found.shared_frames == [
        {"splits": ["train", "test"], "count": 1, "ids": [["item0", "item0"]]}
    ]


def test_on_a_built_data_set(toy):
    found = check_records(toy)
    assert {name: s.records for name, s in found.splits.items()} == toy.info.num_examples
    for split in found.splits.values():
        assert not (split.outside or split.empty or split.unlabelled or split.silent)
