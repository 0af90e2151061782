"""Records read lazily are those that TFDS reads whole."""

import pickle

import numpy as np
import pytest

from avloc.data_pipelines.records import reading as records
from avloc.data_pipelines.records.reading import Records, some_fields


def test_equal_to_what_tfds_reads(toy):
    builder = toy.builder
    whole, lazy = builder.as_data_source("cocktail_test"), Records(builder, "cocktail_test")
    assert len(lazy) == len(whole) == 16
    for place in (0, 7, 15):
        expected, got = whole[place], lazy[place]
        assert set(got) == set(expected)
        assert len(got["frames"]) == len(expected["frames"])
        for one, other in zip(got["frames"], expected["frames"], strict=True):
            np.testing.assert_array_equal(one, other)
        for key in ("id", "video", "second"):
            assert got[key] == expected[key]
        np.testing.assert_array_equal(got["waveform"], expected["waveform"])
        for key, values in expected["objects"].items():
            np.testing.assert_array_equal(got["objects"][key], values)


def test_a_frame_is_decoded_when_it_is_asked_for(toy, monkeypatch):
    opened = []
    real = records.Image.open

    def opening(file, **how):
        opened.append(how)
        return real(file, **how)

    monkeypatch.setattr(records.Image, "open", opening)
    record = Records(toy.builder, "test")[3]
    assert opened == []
    assert record["frames"][0].dtype == np.uint8 and opened == [{"formats": ["JPEG"]}]
    with pytest.raises(IndexError):
        record["frames"][len(record["frames"])]
    assert [set(fields) for fields in some_fields(toy.builder, "test", "id")] == [{"id"}] * 16
    assert len(opened) == 1


def test_is_a_sequence(toy):
    lazy = Records(toy.builder, "test")
    ids = [record["id"] for record in lazy]
    assert len(ids) == len(set(ids)) == 16 and lazy[-1]["id"] == ids[-1]
    with pytest.raises(IndexError):
        lazy[16]


def test_travels_to_worker_processes(toy):
    again = pickle.loads(pickle.dumps(Records(toy.builder, "test")))
    np.testing.assert_array_equal(again[2]["waveform"], toy.source("test")[2]["waveform"])
