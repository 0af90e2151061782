"""Maps in every kind of place, and what is said of those that will not do."""

import pickle
import struct
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from avloc.evaluation import get
from avloc.scoring.given_maps import GivenMaps
from avloc.scoring.map_files import NamedArrays
from avloc.types import Batch
from tests.pictures import claim_png
from tests.test_safetensors import file_of

IDS = ("vid_0_1000/frame_013/00411.jpg", "a@2", "b.c")
NAMES = ("cello", "flute", "tuba")


def batch_of(index, mask=None):
    size = len(index)
    batch = Batch.of(np.zeros((size, 2, 2, 3), np.uint8), np.zeros((size, 4), np.int16))
    mask = np.ones(size, bool) if mask is None else np.array(mask)
    return batch._replace(index=np.array(index, np.int32), mask=mask)


def write(place, arrays):
    """The arrays at a path, whose ending says how."""
    if place.suffix == ".npz":
        np.savez_compressed(place, **arrays)
    elif place.suffix == ".safetensors":
        place.write_bytes(file_of(arrays))
    else:
        for name, array in arrays.items():
            file = place / f"{name}.npy"
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, array)
    return place


def given(place, classes=NAMES, ids=IDS):
    return GivenMaps(NamedArrays(place), ids, classes)


def predicted(place, index=(0, 1, 2), classes=NAMES, protocol="paper"):
    return given(place, classes).predictor(get(protocol))(batch_of(index))


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {name: rng.random((4, 5, 3)).astype(np.float32) for name in IDS}


@pytest.mark.parametrize("ending", ["", ".npz", ".safetensors"])
def test_every_place_gives_the_same_maps(tmp_path, arrays, ending):
    found = predicted(write(tmp_path / f"maps{ending}", arrays), (2, 0))
    wanted = np.stack([arrays["b.c"], arrays[IDS[0]]])
    np.testing.assert_array_equal(found.maps, wanted)
    np.testing.assert_array_equal(found.localization, wanted.max(-1))
    np.testing.assert_array_equal(found.scores, wanted.max((1, 2)))
    assert found.heard.shape == (2, 1) and found.cluster.tolist() == [-1, -1]


def test_one_map_for_all_classes(tmp_path):
    place = write(tmp_path / "maps", {"a@2": np.eye(3), "b.c": np.eye(3, dtype=int)[..., None]})
    maps = given(place)
    assert maps.channels == 1 and maps.given.tolist() == [False, True, True]
    assert (maps.low, maps.high, maps.grid()) == (0, 1, (3, 3))
    found = predicted(place, (1, 2))
    np.testing.assert_array_equal(found.maps[..., 0], np.stack([np.eye(3)] * 2))


def test_pictures_are_0_to_1(tmp_path):
    values = np.array([[0, 51], [102, 255]])
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "a@2.png")
    Image.fromarray((values * 257).astype(np.uint16)).save(tmp_path / "b.c.PNG")
    found = predicted(tmp_path, (1, 2)).localization
    np.testing.assert_allclose(found, np.stack([values / 255] * 2), atol=1e-7)


def test_the_ending_of_an_id_may_be_left_out_where_one_is_meant(tmp_path):
    ids = ("f/1.jpg", "f/2.jpg", "f/2.png", "f/3.jpg", "f/3")
    maps = {name: np.full((2, 2), i) for i, name in enumerate(("f/1", "f/2", "f/3.jpg", "f/3"))}
    found = given(write(tmp_path / "maps.npz", maps), ids=ids)
    assert found.given.tolist() == [True, False, False, True, True]
    assert found.unknown == ["f/2"]
    localization = found.predictor(get("paper"))(batch_of([0, 3, 4])).localization
    assert localization[:, 0, 0].tolist() == [0, 2, 3]
    twice = write(tmp_path / "twice.npz", {"f/1": np.eye(2), "f/1.jpg": np.eye(2)})
    with pytest.raises(ValueError, match=r"'f/1' and 'f/1.jpg' are for the same item: remove one"):
        given(twice, ids=ids)


def test_padding_needs_no_map(tmp_path):
    place = write(tmp_path / "maps.npz", {"b.c": np.eye(2)})
    predict = given(place).predictor(get("paper"))
    found = predict(batch_of([2, 0], [True, False]))
    np.testing.assert_array_equal(found.localization, np.stack([np.eye(2)] * 2))


def test_sizes_may_differ_and_each_is_resized_as_the_protocol_would(tmp_path):
    rng = np.random.default_rng(1)
    shapes = {IDS[0]: (7, 7, 3), IDS[1]: (14, 9, 3), IDS[2]: (7, 7, 3)}
    arrays = {name: rng.random(shape).astype(np.float32) for name, shape in shapes.items()}
    place = write(tmp_path / "maps.npz", arrays)
    assert given(place).sizes == {(7, 7): 2, (14, 9): 1} and given(place).grid() == (7, 7)
    found = predicted(place)
    for i, name in enumerate(IDS):
        np.testing.assert_allclose(found.maps[i], cv2.resize(arrays[name], (224, 224)), atol=1e-5)
        np.testing.assert_array_equal(found.scores[i], arrays[name].max((0, 1)))


def test_scores_are_of_what_is_heard(tmp_path, arrays):
    scores = {f"{name}.scores": np.float32([i / 2, 0.5, 0.25]) for i, name in enumerate(IDS)}
    for ending in ("", ".npz", ".safetensors"):
        found = predicted(write(tmp_path / f"maps{ending}", arrays | scores), (2, 1))
        np.testing.assert_array_equal(found.heard, [[1, 0.5, 0.25], [0.5, 0.5, 0.25]])
    for wrong, sentence in (
        (np.zeros(2), r"'b.c.scores' is \[2\]; scores are \[3\], one a class"),
        (np.array([0, 0.5, 1.5]), r"'b.c.scores' has values outside 0 to 1"),
        (np.array([0, 0.5, np.nan]), r"'b.c.scores' is not finite"),
    ):
        with pytest.raises(ValueError, match=sentence):
            given(write(tmp_path / "wrong.npz", arrays | scores | {"b.c.scores": wrong}))
    del scores["b.c.scores"]
    with pytest.raises(ValueError, match=r"2 of 3 maps have scores: give them to all or to none"):
        given(write(tmp_path / "part.npz", arrays | scores))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (
            np.zeros((3, 4, 5)),
            r"\[3, 4, 5\]: classes must come last, not first: save np.moveaxis\(map, 0, -1\)",
        ),
        (np.zeros((1, 4, 5)), r"classes must come last, not first: save map\[0\]"),
        (
            np.zeros((4, 5, 2)),
            r"\[4, 5, 2\]; a map is \[h, w\], or \[h, w, 3\] with one map per class",
        ),
        (np.zeros(5), r"is \[5\]; a map is"),
        (np.zeros((1, 4, 5, 3)), r"is \[1, 4, 5, 3\]; a map is"),
        (np.zeros((0, 4)), "has no cells"),
        (np.array([[0, np.nan]]), "is not finite"),
        (np.array([[0, np.inf]]), "is not finite"),
        (np.array([[0, 1e300]]), "is not finite: it has nan, inf, or values beyond float32"),
        (np.zeros((2, 2), complex), "contains complex128; only real numbers"),
        (np.array([["a"]]), "contains <U1; only real numbers"),
        (np.array([[None]]), "pickles are never read"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".npz"])
def test_a_map_that_will_not_do(tmp_path, array, sentence, ending):
    place = write(tmp_path / f"maps{ending}", {"a@2": np.eye(2), "b.c": array})
    with pytest.raises(ValueError, match=f"'b.c'.*{sentence}"):
        given(place)


def test_class_maps_of_as_many_rows_as_classes(tmp_path):
    """Where both ends could be the classes, the last is."""
    square = np.random.default_rng(0).random((3, 4, 3)).astype(np.float32)
    found = predicted(write(tmp_path / "maps.npz", {"b.c": square}), (2,))
    np.testing.assert_array_equal(found.maps[0], square)


def test_without_class_names_there_is_one_map(tmp_path):
    place = write(tmp_path / "maps.npz", {"b.c": np.zeros((4, 4, 3))})
    with pytest.raises(ValueError, match=r"is \[4, 4, 3\]; a map is \[h, w\]$"):
        given(place, classes=())


def test_one_kind_of_maps(tmp_path):
    place = write(tmp_path / "maps.npz", {"a@2": np.eye(3), "b.c": np.zeros((4, 4, 3))})
    sentence = "'a@2' is one map for all classes, 'b.c' is a map for each of 3 classes: give maps"
    with pytest.raises(ValueError, match=sentence):
        given(place)


class Hostile:
    """Unpickled, it writes a file."""

    def __init__(self, file):
        self.file = str(file)

    def __reduce__(self):
        return (open, (self.file, "w"))


def test_nothing_is_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    code = pickle.dumps(Hostile(trap))
    pickle.loads(code).close()
    assert trap.exists()  # it would work
    trap.unlink()
    folder = tmp_path / "maps"
    folder.mkdir()
    (folder / "b.c.npy").write_bytes(code)
    with pytest.raises(
        ValueError, match=r"'b.c' is pickled, or not an array.*are never read: save"
    ):
        given(folder)
    np.save(folder / "b.c.npy", np.array([[Hostile(trap)]], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"'b.c' is pickled"):
        given(folder)
    (tmp_path / "all.npz").write_bytes(code)
    with pytest.raises(ValueError, match=r"is pickled, or not an array"):
        given(tmp_path / "all.npz")
    np.savez(tmp_path / "objects.npz", **{"b.c": np.array([[Hostile(trap)]], object)})
    with pytest.raises(ValueError, match=r"'b.c' is pickled"):
        given(tmp_path / "objects.npz")
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(code)) + code)
    with pytest.raises(ValueError, match=r"is damaged: invalid UTF-8 in header"):
        given(tmp_path / "x.safetensors")
    assert not trap.exists()


def test_damaged_files(tmp_path, arrays):
    whole = write(tmp_path / "whole.npz", arrays).read_bytes()
    place = tmp_path / "maps.npz"
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"maps.npz (is damaged, or not an .npz|is pickled)"):
        given(place)
    spoilt = bytearray(whole)
    spoilt[200:260] = bytes(60)
    place.write_bytes(spoilt)
    with pytest.raises(ValueError, match=r"maps.npz: 'vid_0.*' (cannot be read|is not an array)"):
        given(place)
    np.savez(place, **{"b.c": np.eye(2)})
    place.write_bytes(place.read_bytes().replace(b"\x93NUMPY", b"\x93LUMPY"))
    with pytest.raises(ValueError, match=r"'b.c'"):
        given(place)
    folder = write(tmp_path / "maps", arrays)
    file = folder / "b.c.npy"
    for content in (b"", file.read_bytes()[:150], whole):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"'b.c'"):
            given(folder)
    file.unlink()
    (folder / "b.c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"'b.c' cannot be read"):
        given(folder)
    Image.new("RGB", (3, 3)).save(folder / "b.c.png")
    with pytest.raises(ValueError, match=r"'b.c' cannot be read: the picture is of mode RGB"):
        given(folder)


def test_places_that_will_not_do(tmp_path):
    for name, sentence in (
        ("nowhere", "there is no such folder or file of maps"),
        ("maps.pth", "maps are a folder of ID.npy or ID.png, an .npz or a .safetensors"),
    ):
        if "." in name:
            (tmp_path / name).write_bytes(b"")
        with pytest.raises(ValueError, match=f"{name}.*{sentence}"):
            given(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty contains no map"):
        given(tmp_path / "empty")
    np.save(tmp_path / "one.npy", np.eye(2))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match=r"is a single array, not an .npz file"):
        given(tmp_path / "one.npz")
    place = write(tmp_path / "others", {"c": np.eye(2), "d": np.eye(2)})
    with pytest.raises(ValueError, match=r"none of its 2 maps .* an id is 'vid_0_.*', a map 'c'"):
        given(place)
    Image.new("L", (2, 2)).save(place / "c.png")
    with pytest.raises(ValueError, match=r"c.npy and .*c.png are for the same item"):
        given(place)


def npy(shape, descr="<f4", data=bytes(64)):
    """An `.npy` file whose header says what it is told to."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + data


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (npy((10**9, 10**9)), "it has more than 134 million numbers"),
        (npy(f"({10**300}, 2)"), "it has more than 134 million numbers"),
        (npy(f"({10**300}, 0)"), "it has more than 134 million numbers"),
        (npy((4, 4), "<U100000000"), "it has more than 134 million numbers"),
        (npy((4000, 4000)), "it says that it has 16,000,000 numbers, and has fewer"),
        (npy((4, 5)), "it says that it has 20 numbers, and has fewer|it is cut off"),
        (npy((True, 4)), r"its shape is \(True, 4\)"),
        (npy((-1, 4)), r"its shape is \(-1, 4\)"),
        (npy("(" * 3000), "its header is damaged"),
        (npy("(4, 4"), "its header is damaged"),
        (npy((4, 4), "nonsense"), "its header is damaged"),
        (b"\x93NUMPY\x09\x00" + bytes(99), "its header is of a version"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".npz"])
def test_headers_are_not_believed(tmp_path, content, sentence, ending):
    place = tmp_path / f"maps{ending}"
    if ending:
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr("b.c.npy", content)
    else:
        place.mkdir()
        (place / "b.c.npy").write_bytes(content)
    with pytest.raises(ValueError, match=f"'b.c' cannot be read: ({sentence})"):
        given(place)


def zipped(place, change=None, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(place, "w", compression) as archive:
        archive.writestr("b.c.npy", npy((4, 4)))
    if change:
        place.write_bytes(change(place.read_bytes()))
    return place


def flagged(content):
    """Says that the member is encrypted, in both of its headers."""
    start, central = content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8
    content = bytearray(content)
    content[start] |= 1
    content[central] |= 1
    return bytes(content)


def large(content):
    """Says that the member unpacks to 4 GB."""
    central = content.index(b"PK\x01\x02") + 24
    return content[:central] + b"\xf0\xff\xff\xff" + content[central + 4 :]


def test_members_that_are_not_read(tmp_path):
    for how, sentence in (
        (dict(change=flagged), "it is encrypted"),
        (dict(change=large), "it has more than 134 million numbers"),
        (dict(compression=zipfile.ZIP_LZMA), "it is compressed in a way that np.savez"),
        (dict(compression=zipfile.ZIP_BZIP2), "it is compressed in a way that np.savez"),
    ):
        place = zipped(tmp_path / "maps.npz", **how)
        with pytest.raises(ValueError, match=f"'b.c' cannot be read: {sentence}"):
            given(place)
    assert given(zipped(tmp_path / "maps.npz")).sizes == {(4, 4): 1}
    with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "maps.npz", "a") as archive:
        archive.writestr("b.c.npy", npy((4, 4)))
    with pytest.raises(ValueError, match=r"maps\.npz is damaged.*the name 'b\.c' stands in it"):
        given(tmp_path / "maps.npz")


def test_a_member_is_not_unpacked_beyond_its_array(tmp_path):
    """A member of 20 MB that says it is a small array: only that is read."""
    place = tmp_path / "maps.npz"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b.c.npy", npy((4, 4)) + bytes(20 * 10**6))
    tracemalloc.start()
    assert given(place).sizes == {(4, 4): 1}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 10**6


def test_a_picture_too_large_for_a_map_is_not_decoded(tmp_path):
    claim_png(tmp_path / "b.c.png", 16_000, 4_001)
    with pytest.raises(ValueError, match=r"'b\.c' cannot be read: the picture has more than 64"):
        given(tmp_path)
