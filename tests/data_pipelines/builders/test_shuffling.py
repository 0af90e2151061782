"""Splits larger than memory are written without TensorFlow, in the same order."""

import numpy as np
import pytest
from tensorflow_datasets.core import shuffle

from avloc.data_pipelines import registry
from avloc.data_pipelines.builders import shuffling
from tests.data_pipelines.builders.music_folder import in_this_process, write_music


@pytest.fixture(autouse=True)
def _in_process():
    with in_this_process():
        yield


def test_a_large_split_is_the_same_as_if_it_were_held_in_memory(tmp_path, monkeypatch):
    source = write_music(tmp_path / "source", seconds=2)
    whole = registry.build("music", source, tmp_path / "whole")
    kept, real = [], shuffle._Bucket.add
    monkeypatch.setattr(shuffling, "MEMORY", 100_000)
    monkeypatch.setattr(shuffling, "FILES", 3)
    monkeypatch.setattr(shuffle._Bucket, "add", lambda *a: kept.append(a[0]._path) or real(*a))
    sorted_through_files = registry.build("music", source, tmp_path / "files")
    assert len(kept) >= 4
    for split in whole.info.splits:
        ours, theirs = (b.as_data_source(split) for b in (sorted_through_files, whole))
        assert [r["id"] for r in ours] == [r["id"] for r in theirs]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one["waveform"], other["waveform"])
            np.testing.assert_array_equal(one["frames"], other["frames"])
    assert not any(path.exists() for path in kept)


def test_tfds_is_left_as_it_was():
    before = dict(vars(shuffle))
    with pytest.raises(KeyError), shuffling.bounded():
        assert shuffle.MAX_MEM_BUFFER_SIZE == shuffling.MEMORY
        raise KeyError
    assert vars(shuffle) == before
