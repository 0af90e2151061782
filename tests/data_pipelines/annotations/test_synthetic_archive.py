"""The published archive: pickles that are arrays are read, and nothing else of a pickle happens."""

import contextlib
import io
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines import registry
from avloc.data_pipelines.annotations import synthetic_archive as archive
from avloc.data_pipelines.annotations.music import MUSIC_CLASSES
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.loader import evaluation_batches
from avloc.data_pipelines.media.audio import spectrogram

SHAPE = (201, 64)
ROWS = [[0.1, 0.05, 0.3, 0.4, 1], [0.6, 0.5, 0.25, 0.5, 12]]


def sound(seed):
    """A spectrogram in the memory order of the published ones, which are transposed."""
    return np.random.default_rng(seed).uniform(-90, -10, SHAPE[::-1]).astype(np.float32).T


@pytest.fixture
def pickled(tmp_path):
    """Writes bytes, or the pickle of an object, to a file and reads it as a spectrogram."""

    def read(content, protocol=4):
        path = tmp_path / "scene.pkl"
        if not isinstance(content, bytes):
            content = pickle.dumps(content, protocol=protocol)
        path.write_bytes(content)
        return archive.read_log_mel(path)

    return read


# Pickles that are arrays.


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(pickled, protocol, dtype, order):
    array = np.random.default_rng(0).normal(-40, 20, SHAPE).astype(dtype, order=order)
    found = pickled(array, protocol)
    np.testing.assert_array_equal(found, array.astype(np.float32))
    assert found.dtype == np.float32 and found.shape == SHAPE


def test_older_numpy_wrote_another_module_name(pickled):
    array = np.random.default_rng(0).normal(size=SHAPE)
    new = pickle.dumps(array, protocol=3)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != new
    np.testing.assert_array_equal(pickled(old), array.astype(np.float32))


# Pickles that are not.


class Reduces:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def touch(path):
    return Reduces(os.system, (f"touch {path}",))


def hostile(path):
    """Pickles that touch a file where they are loaded by an ordinary unpickler."""
    array = np.zeros(SHAPE, object)
    array[0, 0] = touch(path)
    state = pickle.dumps(np.zeros(SHAPE), protocol=4)
    code = f"open({str(path)!r}, 'w')"
    return {
        "system": touch(path),
        "eval": Reduces(eval, (code,)),
        "exec": Reduces(exec, (code,)),
        "getattr": Reduces(getattr, (Reduces(__import__, ("os",)), "system")),
        "nested": Reduces(np.dtype, (touch(path),)),
        "object array": array,
        "in a tuple": (np.zeros(SHAPE), touch(path)),
        "behind the array": state[:-1] + b"0" + pickle.dumps(touch(path), protocol=4)[2:],
        "protocol 0": pickle.dumps(touch(path), protocol=0),
        "instance": f"(S'touch {path}'\nios\nsystem\n.".encode(),
    }


KINDS = sorted(hostile("x"))


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_pickles_are_refused_and_do_nothing(pickled, tmp_path, kind):
    target = tmp_path / "touched"
    with pytest.raises(ValueError, match=r"scene\.pkl: "):
        pickled(hostile(target)[kind])
    assert not target.exists()


@pytest.mark.parametrize("kind", ["system", "eval", "nested", "object array", "behind the array"])
def test_the_hostile_pickles_are_hostile(tmp_path, kind):
    target = tmp_path / "touched"
    content = hostile(target)[kind]
    content = content if isinstance(content, bytes) else pickle.dumps(content)
    with contextlib.suppress(TypeError):  # of a dtype of nonsense, behind the harm
        pickle.loads(content)
    assert target.exists()


def test_what_was_wanted_is_named(pickled):
    with pytest.raises(ValueError, match=r"scene\.pkl: the pickle names '(posix|nt)\.system', whi"):
        pickled(Reduces(os.system, ("true",)))
    with pytest.raises(ValueError, match=r"names 'builtins\.eval'"):
        pickled(Reduces(eval, ("1",)))
    with pytest.raises(ValueError, match=r"names 'numpy\.load'"):
        pickled(Reduces(np.load, ("x", None, True)))


def array_pickle(shape=SHAPE, code="f4", data=None, order=False):
    """A pickle of protocol 3 in the form that NumPy writes, of a state of one's own."""
    data = bytes(201 * 64 * 4) if data is None else data

    def dump(value):
        return pickle.dumps(value, protocol=3)[2:-1]

    dtype = b"cnumpy\ndtype\n" + dump((code, False, True)) + b"R"
    dtype += dump((3, "<", None, None, None, -1, -1, 0)) + b"b"
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + dump((0,)) + dump(b"b")
    state = b"(" + dump(1) + dump(shape) + dtype + dump(order) + dump(data) + b"tb"
    return b"\x80\x03" + made + b"tR" + state + b"."


def test_the_form_that_is_varied_below_is_read(pickled):
    assert not pickled(array_pickle()).any()


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"shape": (2**40, 2**40)}, "not \\(201, 64\\)"),
        ({"shape": (64, 201)}, "not \\(201, 64\\)"),
        ({"shape": (-1, 64)}, "not \\(201, 64\\)"),
        ({"shape": 7}, "not \\(201, 64\\)"),
        ({"data": b"abc"}, "a damaged one"),
        ({"data": ["list"]}, "EMPTY_LIST"),
        ({"code": "O8"}, "not of float32 or float64"),
        ({"code": "V4"}, "not of float32 or float64"),
        ({"code": "i4"}, "not of float32 or float64"),
        ({"code": ("f4", (2**60,))}, "not of float32 or float64"),
        ({"data": np.full(SHAPE, np.nan, "f4").tobytes()}, "not finite"),
    ],
)
def test_arrays_that_are_no_spectrogram_are_refused(pickled, state, sentence):
    with pytest.raises(ValueError, match=f"scene\\.pkl: .*{sentence}"):
        pickled(array_pickle(**state))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pickle.dumps(None),
        pickle.dumps("text"),
        pickle.dumps(np.zeros(SHAPE))[:2000],
        pickle.dumps(np.zeros(SHAPE)) + b"x" * archive.MAX_BYTES,
        b"\x80\x04" + b"N0" * 1000 + b".",
        b"\x80\x04Nr\xff\xff\xff\xff.",  # a memo of four thousand million places
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".",  # a byte array of a terabyte
        b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x80\x04cnumpy\nndarray\nN}b.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x04Pname\n.",
        b"\x80\x04\x82\x01.",
        b"\x80\x04R.",
        b"\x80\x04Nb.",
    ],
)
def test_damaged_and_greedy_pickles_are_refused_and_get_no_memory(pickled, content):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"scene\.pkl: "):
            pickled(content)
        assert tracemalloc.get_traced_memory()[1] < 16e6
    finally:
        tracemalloc.stop()


# Boxes.


def boxes(tmp_path, rows, **kind):
    path = tmp_path / "scene.npy"
    np.save(path, np.array(rows, **kind))
    return archive.read_boxes(path, MUSIC_CLASSES)


def test_boxes_are_turned_and_named(tmp_path):
    cello, flute = boxes(tmp_path, ROWS)
    np.testing.assert_allclose(cello.box, (0.05, 0.1, 0.45, 0.4), atol=1e-12)
    np.testing.assert_allclose(flute.box, (0.5, 0.6, 1.0, 0.85), atol=1e-12)
    assert (MUSIC_CLASSES[cello.label], MUSIC_CLASSES[flute.label]) == ("cello", "flute")
    assert cello.sounding and flute.sounding


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[0.1, 0.1, 0.2, 0.2]], "rows"),
        ([0.1, 0.1, 0.2, 0.2, 1], "rows"),
        (np.zeros((0, 5)), "rows"),
        ([["a", "b", "c", "d", "e"]], "rows"),
        ([[0.1, 0.1, 0.2, np.nan, 1]], "not finite"),
        ([[0.1, 0.1, 0.2, 0.2, 2]], "category 2 is not one of 1, 3, 8, 10, 11, 12, 13"),
        ([[0.1, 0.1, 0.2, 0.2, 1.5]], "category 1.5"),
        ([[0.6, 0.6, 0.9, 0.9, 1], [0.5, 0.5, 0.8, 0.9, 3]], "plausible as .*xmin, ymin, xmax"),
        ([[60, 60, 90, 90, 1]], "plausible"),
        ([[0.1, 0.1, 0.2, 0.2, 1]] * 2 + [[0.1, 0.1, 0, 0.2, 1]], "no area"),
    ],
)
def test_bad_boxes_are_refused(tmp_path, rows, sentence):
    with pytest.raises(ValueError, match=f"scene\\.npy: .*{sentence}"):
        boxes(tmp_path, rows)


def test_pickled_and_other_files_in_place_of_boxes_are_refused(tmp_path):
    path, target = tmp_path / "scene.npy", tmp_path / "touched"
    array = np.empty((1, 5), object)
    array[0, 0] = touch(target)
    np.save(path, array, allow_pickle=True)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array(ROWS))
    huge = (
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 5)}" % 2**50
    )
    for content in (
        path.read_bytes(),
        pickle.dumps(touch(target)),
        buffer.getvalue(),
        huge.ljust(127) + b"\n",
        b"",
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"scene\.npy: not an array of "):
            archive.read_boxes(path, MUSIC_CLASSES)
    assert not target.exists()


# The archive.


def write_part(folder, count, *, boxed, seed=0):
    for name in ("video", "audio", "box")[: 3 if boxed else 2]:
        (folder / name).mkdir(parents=True)
    for i in range(count):
        picture = np.full((48, 64, 3), 40 * i, np.uint8)
        Image.fromarray(picture).save(folder / "video" / f"{i:04d}.jpg")
        with open(folder / "audio" / f"{i:04d}.pkl", "wb") as file:
            pickle.dump(sound(seed + i), file)
        if boxed:
            np.save(folder / "box" / f"{i:04d}.npy", np.array(ROWS))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """4 training and 5 test scenes; of these one is without boxes, one hostile, one no picture."""
    root = tmp_path_factory.mktemp("archive")
    write_part(root / "train", 4, boxed=False)
    write_part(root / "test1", 5, boxed=True, seed=10)
    (root / "test1/box/0002.npy").unlink()
    (root / "test1/audio/0003.pkl").write_bytes(pickle.dumps(touch(root / "touched")))
    (root / "test1/video/0004.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def built(unpacked, tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    registry.build("music_synthetic", unpacked, data)
    return Dataset(registry.open_dataset("music_synthetic/published", data))


def test_bad_scenes_are_left_out_and_told(built, unpacked):
    assert dict(built.info.num_examples) == {"cocktail_train": 4, "cocktail_test": 2}
    assert not (unpacked / "touched").exists()
    skipped = {row["file"]: row["reason"] for row in built.metadata["skipped"]}
    assert set(skipped) == {"test1/0002", "test1/0003", "test1/0004"}
    assert "0002.npy: no such file" in skipped["test1/0002"]
    assert "0003.pkl: the pickle names" in skipped["test1/0003"]
    assert "0004.jpg: not a picture" in skipped["test1/0004"]
    assert built.metadata["summary"].startswith("Read 6 of 9 scenes of the published archive; ")
    assert built.metadata["counts"]["cocktail_test"] == {"found": 5, "damaged": 3}


def test_scenes_of_the_archive(built):
    assert built.info.class_names == MUSIC_CLASSES
    source = built.source("cocktail_test")
    by_id = {source[i]["id"].decode(): source[i] for i in range(2)}
    assert set(by_id) == {"test1/0000", "test1/0001"}
    record = by_id["test1/0001"]
    np.testing.assert_array_equal(record["log_mel"], sound(11))
    assert record["waveform"].shape == (0,)
    np.testing.assert_allclose(record["objects"]["bbox"][0], [0.05, 0.1, 0.45, 0.4], atol=1e-6)
    assert [MUSIC_CLASSES[k] for k in record["objects"]["label"]] == ["cello", "flute"]
    assert abs(int(record["frames"][0].mean()) - 40) <= 2
    (label,) = built.source("cocktail_train")[0]["objects"]["label"]
    assert label == -1


def test_a_method_hears_the_stored_spectrogram(built):
    source = built.source("cocktail_train")
    batch = next(iter(evaluation_batches(source, image_size=32, batch_size=4)))
    sounds = spectrogram(batch)
    assert sounds.shape == (4, 201, 64, 1)
    for i, index in enumerate(batch.index):
        np.testing.assert_array_equal(sounds[i, ..., 0], source[index]["log_mel"])


def test_a_folder_that_is_no_archive(tmp_path):
    (tmp_path / "video").mkdir()
    for folder, words in ((tmp_path, "a folder `audio`"), (tmp_path / "none", "no such folder")):
        with pytest.raises(ValueError, match=words):
            archive.find_scenes(folder)


def test_corners_in_all_of_an_archive_are_refused(tmp_path):
    write_part(tmp_path, 3, boxed=True)
    corners = [[0.1, 0.05, 0.4, 0.45, 1], [0.6, 0.5, 0.85, 1.0, 12], [0.55, 0.6, 0.8, 0.9, 3]]
    for path in (tmp_path / "box").iterdir():
        np.save(path, np.array(corners))
    with pytest.raises(ValueError, match=r"box: its 9 boxes are .* plausible as \[xmin"):
        archive.check_boxes(archive.find_scenes(tmp_path)["cocktail_test"])


def test_an_archive_without_a_good_scene_is_refused(tmp_path):
    write_part(tmp_path / "archive", 2, boxed=False)
    for path in (tmp_path / "archive/audio").iterdir():
        path.write_bytes(b"bad")
    with pytest.raises(ValueError, match="none of its 2 scenes of cocktail_train can be read"):
        registry.build("music_synthetic", tmp_path / "archive", tmp_path / "data")
    assert not list(tmp_path.glob("data/music_synthetic/*/1*"))


def test_a_changed_archive_is_not_taken_for_the_one_built(tmp_path):
    write_part(tmp_path / "archive", 2, boxed=False)
    registry.build("music_synthetic", tmp_path / "archive", tmp_path / "data")
    (tmp_path / "archive/audio/0001.pkl").write_bytes(b"bad")
    with pytest.raises(ValueError, match=r"was built from an earlier state of .*, not from"):
        registry.build("music_synthetic", tmp_path / "archive", tmp_path / "data")
