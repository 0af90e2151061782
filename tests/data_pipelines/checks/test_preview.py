import numpy as np
import pytest

from avloc.data_pipelines.checks.preview import items, spread
from avloc.data_pipelines.media.audio import log_mel


def test_places_are_evenly_spread():
    assert spread(10, 4).tolist() == [0, 3, 6, 9]
    assert spread(3, 12).tolist() == [0, 1, 2]
    assert spread(7, 1).tolist() == [0]


def test_items_of_a_built_split(toy):
    total = toy.info.num_examples["cocktail_test"]
    shown = items(toy, "cocktail_test", 3)
    source = toy.source("cocktail_test")
    for item, place in zip(shown, spread(total, 3), strict=True):
        record = source[int(place)]
        assert item.id == record["id"].decode()
        np.testing.assert_array_equal(item.frame, record["frames"][len(record["frames"]) // 2])
        np.testing.assert_array_equal(item.boxes, record["objects"]["bbox"])
        assert item.sounding.tolist() == list(record["objects"]["sounding"])
        assert item.labels.shape == item.offscreen.shape == item.sounding.shape
        expected = log_mel(np.asarray(record["waveform"])[None])[0, ..., 0]
        np.testing.assert_array_equal(item.spectrogram, expected)
    assert len(items(toy, "cocktail_test", 10_000)) == total


def test_bad_input(toy):
    with pytest.raises(ValueError, match="has no split 'nonsense'"):
        items(toy, "nonsense", 3)
    with pytest.raises(ValueError, match="1 item or more, not 0"):
        items(toy, "test", 0)
