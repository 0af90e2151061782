"""However a file of maps was broken off, what is complete in the end is what was meant."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest

from avloc.data_pipelines.records.stored_maps import StoredMaps
from avloc.training import growing_maps
from avloc.training.growing_maps import MAPS, GrowingMaps

SHAPE = (5, 2, 2, 3, 4)
VALUES = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
FLAT = VALUES.reshape(10, 2, 3, 4)


def grow(folder, first=None, last=10):
    """Writes maps from where the file stands, or says that it stands elsewhere."""
    made = GrowingMaps(folder, SHAPE)
    assert first is None or made.done == first
    for place in range(made.done, last, 2):
        made.append(FLAT[place : min(place + 2, last)])
    return made


def assert_right(folder):
    np.testing.assert_array_equal(np.load(folder / MAPS), VALUES.astype(np.float16))
    assert sorted(path.name for path in folder.iterdir()) == [MAPS]


def test_a_whole_file(tmp_path):
    made = grow(tmp_path, first=0)
    assert not (tmp_path / MAPS).exists()  # until it is complete
    made.finish()
    assert_right(tmp_path)


def test_large_values_stay_finite(tmp_path):
    made = GrowingMaps(tmp_path, (1, 1, 1, 1, 2))
    made.append(np.float32([[[[1e9, -1e9]]]]))
    made.finish()
    assert np.load(tmp_path / MAPS).ravel().tolist() == [60000, -60000]


@pytest.mark.parametrize("noted", [2, 6])
def test_it_goes_on_behind_what_was_noted(tmp_path, noted):
    made = grow(tmp_path, last=noted)
    made.note()
    made.append(np.full_like(FLAT[:2], 7))  # written, and not told of: it may not have arrived
    made.close()
    grow(tmp_path, first=noted).finish()
    assert_right(tmp_path)


def test_a_process_that_is_killed(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; "
        "from tests.training.test_growing_maps import *; "
        "made = grow(Path(sys.argv[1]), last=4); made.note(); "
        "made.append(FLAT[:2]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -9
    grow(tmp_path, first=4).finish()
    assert_right(tmp_path)


def cut(folder):
    """As after a power cut: the last maps that were told of are not there."""
    part = folder / "maps.part"
    part.write_bytes(part.read_bytes()[:-1])


def of_another_shape(folder):
    told = (folder / "done.json").read_text()
    other = GrowingMaps(folder, (5, 2, 3, 2, 4))
    other.append(FLAT[:6].reshape(6, 3, 2, 4))
    other.close()
    (folder / "done.json").write_text(told)


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        of_another_shape,
        lambda folder: (folder / "maps.part").unlink(),
        lambda folder: (folder / "maps.part").write_bytes(b""),
        lambda folder: (folder / "done.json").unlink(),
        lambda folder: (folder / "done.json").write_text('{"done": 6'),
        lambda folder: (folder / "done.json").write_text("[6]"),
        lambda folder: (folder / "done.json").write_text('{"done": "6"}'),
        lambda folder: (folder / "done.json").write_text('{"done": -2}'),
        lambda folder: (folder / "done.json").write_text('{"done": 99}'),
    ],
)
def test_what_cannot_be_trusted_is_written_again(tmp_path, damage):
    made = grow(tmp_path, last=6)
    made.note()
    made.close()
    damage(tmp_path)
    grow(tmp_path, first=0).finish()
    assert_right(tmp_path)


def test_a_note_never_tells_of_another_file(tmp_path):
    """Begun again, it is not told of as long as nothing of it was noted."""
    made = grow(tmp_path, last=6)
    made.note()
    made.close()
    other = GrowingMaps(tmp_path, (5, 2, 3, 2, 4))
    other.close()
    assert not (tmp_path / "done.json").exists()
    grow(tmp_path, first=0).finish()
    assert_right(tmp_path)


def test_notes_are_made_while_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(growing_maps, "_EVERY", 0.0)
    grow(tmp_path, last=4).close()
    assert json.loads((tmp_path / "done.json").read_text()) == {"done": 4}


def test_a_disk_without_room_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr(growing_maps, "_SPARE", 2**70)
    with pytest.raises(ValueError) as error:
        GrowingMaps(tmp_path, (1000, 4, 14, 14, 432))
    assert str(error.value) == (
        f"{tmp_path} has no room for 0.6 GiB of features: lower --config.stored_views, or set it "
        "to 0 to compute them in every step"
    )
    assert not (tmp_path / "maps.part").exists()


def test_a_disk_that_is_full_in_the_middle_keeps_what_was_noted(tmp_path):
    made = grow(tmp_path, last=6)
    made.note()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "maps.part").stat().st_size + 50, hard))
    try:
        with pytest.raises(ValueError, match=r"takes no more features \(File too large\): lower"):
            made.append(FLAT[6:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    made.close()
    grow(tmp_path, first=6).finish()
    assert_right(tmp_path)


def test_only_maps_are_opened(tmp_path):
    grow(tmp_path).finish()
    maps = StoredMaps(tmp_path / MAPS)
    assert (len(maps), maps.views) == (5, 2)
    np.testing.assert_array_equal(maps.map(3, 1), VALUES[3, 1].astype(np.float16))
    np.save(tmp_path / "other.npy", np.zeros((2, 3), np.float16))
    with pytest.raises(ValueError, match=r"other\.npy holds no maps"):
        StoredMaps(tmp_path / "other.npy")
    whole = (tmp_path / MAPS).read_bytes()
    (tmp_path / MAPS).write_bytes(whole[:-10])
    with pytest.raises(ValueError):
        StoredMaps(tmp_path / MAPS)
