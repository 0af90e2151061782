"""Files of torch's old format, read without torch; nothing in them is run."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from avloc.runs.legacy_torch import is_legacy, read_legacy
from avloc.runs.weight_files import import_weights, read_arrays, read_record
from tests.runs.legacy_pth import (
    KINDS,
    MAGIC,
    NONE,
    ORDERED,
    dictionary,
    facts,
    legacy,
    name,
    number,
    numbers,
    pickled,
    raw,
    saved,
    several,
    storage,
    tensor,
    text,
)
from tests.torchvision_resnet import state_dict

SIX = np.arange(6, dtype=np.float32)


@pytest.fixture
def read(tmp_path):
    def read(content: bytes):
        (tmp_path / "old.pth").write_bytes(content)
        return read_legacy(tmp_path / "old.pth")

    return read


@pytest.fixture
def sentence(read, tmp_path):
    def sentence(content: bytes) -> str:
        with pytest.raises(ValueError) as error:
            read(content)
        said = str(error.value)
        start = f"{tmp_path / 'old.pth'} is damaged, or contains more than arrays, and was not rea"
        assert said.startswith(start) and said.endswith(
            "): save only model.state_dict(), or use a .safetensors file"
        )
        return said.split("(", 1)[1].rsplit("):", 1)[0]

    return sentence


def one(described: bytes, content: bytes | None = None) -> bytes:
    """A file of one array, `w`, of six numbers."""
    return legacy(dictionary({"w": described}), {"0": content or raw(SIX)})


def test_a_network(tmp_path):
    state = state_dict(width=4)
    (tmp_path / "old.pth").write_bytes(saved(state))
    assert is_legacy(tmp_path / "old.pth")
    got = read_arrays(tmp_path / "old.pth")
    assert list(got) == list(state)
    for key, x in state.items():
        assert got[key].dtype == np.asarray(x).dtype and got[key].shape == np.shape(x)
        np.testing.assert_array_equal(got[key], x)
    import_weights(tmp_path / "old.pth", tmp_path / "weights")
    assert read_record(tmp_path / "weights").width == 4


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_of_number(read, kind):
    given = np.asarray([[0, 1, 0.5], [3, -7, 100]], np.float64).astype(kind)
    (got,) = read(saved({"w": given})).values()
    assert got.dtype == (np.float32 if given.dtype.kind == "f" else kind)
    np.testing.assert_array_equal(got, given)
    assert not got.flags.writeable


def test_bfloat16_is_read_as_float32(read):
    halves = np.asarray([0x3F80, 0xC020, 0x0000], np.uint16)  # 1, -2.5, 0
    described = tensor(storage("0", 3, "BFloat16Storage"), [3], [1])
    np.testing.assert_array_equal(read(one(described, raw(halves)))["w"], np.float32([1, -2.5, 0]))


def test_offsets_strides_and_arrays_that_share_their_numbers(read):
    stored = storage("0", 6)
    got = read(
        legacy(
            dictionary(
                {
                    "part": tensor(stored, [2], [1], offset=3),
                    "turned": tensor(stored, [3, 2], [1, 3]),
                    "turned too": tensor(stored, [3, 2], [1, 3]),
                    "scalar": tensor(stored, [], [], offset=5),
                    "none": tensor(stored, [0, 3], [3, 1]),
                }
            ),
            {"0": raw(SIX)},
        )
    )
    np.testing.assert_array_equal(got["part"], [3, 4])
    np.testing.assert_array_equal(got["turned"], SIX.reshape(2, 3).T)
    assert got["turned too"] is got["turned"]
    assert got["scalar"].shape == () and got["scalar"] == 5 and got["none"].shape == (0, 3)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_training_checkpoint(read, key):
    """Its state dict is taken; the optimizer's numbers are passed over."""
    state = dictionary({"w": tensor(storage("9", 6), [6], [1]), "epoch": number(3)}, ORDERED)
    moments = dictionary({"m": tensor(storage("10", 2, "DoubleStorage"), [2], [1])})
    body = dictionary(
        {"arch": text("x"), "optimizer": moments, key: state, "best": b"G" + bytes(8)}
    )
    got = read(legacy(body, {"10": raw(np.zeros(2)), "9": raw(SIX)}))
    assert list(got) == ["w"]
    np.testing.assert_array_equal(got["w"], SIX)


def test_what_python_2_and_torch_0_3_wrote(read):
    """Short texts, pairs for an ordered dictionary, no requires_grad, parameters by class."""
    parts = (storage("0", 6), number(0), numbers([6]), numbers([1]))
    plain = name("torch._utils", "_rebuild_tensor") + several(*parts) + b"R"
    parameter = name("torch.nn.parameter", "Parameter") + several(plain) + b"\x81"
    parameter += several(b"\x88", b"\x89", ORDERED) + b"b"
    pair = b"](" + b"U\x01w" + parameter + b"e"
    body = name("collections", "OrderedDict") + several(b"](" + pair + b"e") + b"R"
    np.testing.assert_array_equal(read(legacy(body, {"0": raw(SIX)}))["w"], SIX)
    wrapped = name("torch._utils", "_rebuild_parameter") + several(plain, b"\x88", ORDERED) + b"R"
    np.testing.assert_array_equal(read(one(wrapped))["w"], SIX)


class Hostile:
    def __reduce__(self):
        return os.system, ("echo > called",)


def test_no_name_but_those_of_arrays(sentence, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = tensor(storage("0", 6), [6], [1])
    hostile = pickle.dumps(Hostile(), 2)[2:-1]
    for body in (hostile, dictionary({"w": whole, "more": hostile})):
        assert sentence(legacy(body, {"0": raw(SIX)})).startswith("it holds posix.system")
    # Also before and after the state dict.
    good = one(whole)
    assert sentence(good.replace(facts(), pickled(hostile))) == "it holds posix.system"
    keys = pickled(b"](" + text("0") + b"e")
    assert sentence(good.replace(keys, pickled(hostile))) == "it holds posix.system"
    assert sentence(one(name("torch", "load") + several(text("a")) + b"R")) == "it holds torch.load"
    framed = b"\x8c\x08builtins\x8c\x04eval\x93"
    assert sentence(one(framed)) == "it holds builtins.eval"
    assert [path.name for path in tmp_path.iterdir()] == ["old.pth"]
    # Old instructions that look names up in other ways.
    assert (
        sentence(one(b"(iposix\nsystem\n")) == "it has the instruction INST, which no tensor needs"
    )
    assert sentence(one(b"\x82\x01")) == "it has the instruction EXT1, which no tensor needs"


def test_nothing_is_as_large_as_the_file_only_claims(sentence):
    stored, far = storage("0", 6), 2**40
    larger = "an array is larger than its numbers in the file"
    assert sentence(one(tensor(stored, [7], [1]))) == larger
    assert sentence(one(tensor(stored, [2, 3], [4, 1]))) == larger
    assert sentence(one(tensor(stored, [2], [1], offset=5))) == larger
    assert sentence(one(tensor(stored, [far, far], [far, 1]))) == larger
    # A few numbers that are to be repeated.
    assert sentence(one(tensor(stored, [far, far], [0, 0]))) == "an array larger than the file"
    big = storage("0", 10_000)
    body = dictionary({str(at): tensor(big, [9_000 + at], [1]) for at in range(9)})
    repeated = legacy(body, {"0": raw(np.zeros(10_000, np.float32))})
    assert sentence(repeated) == "an array larger than the file"
    assert sentence(one(tensor(stored, [far, far, 0], [0, 0, 0]))).startswith(
        "an array of the shape"
    )
    # Texts, storages and lists that end before their claimed length.
    assert sentence(one(b"X\xff\xff\xff\x7fabc")) == "its instructions are damaged"
    assert sentence(one(tensor(storage("0", far), [far], [1]))).startswith("it is cut off, or stor")
    claimed = far.to_bytes(8, "little") + SIX.tobytes()
    assert sentence(one(tensor(storage("0", far), [6], [1]), claimed)).endswith("bytes too few")


def test_damage(sentence):
    good = one(tensor(storage("0", 6), [2, 3], [3, 1]))
    assert sentence(good[:-1]) == "it has 1 bytes too few"
    assert sentence(good + b"ab") == "it has 2 bytes too many"
    assert sentence(good[: -len(raw(SIX))]).startswith("it is cut off, or storage '0' is not where")
    assert sentence(good[:-200]) == "its instructions are damaged"
    assert sentence(MAGIC) == "its instructions are damaged"
    plain = tensor(storage("0", 6), [6], [1])
    body = dictionary({"w": plain})
    numbers_of = {"0": raw(SIX)}
    assert (
        sentence(legacy(body, numbers_of, version=1002)) == "it is of another version of the format"
    )
    assert sentence(legacy(body, numbers_of, about=facts(b"\x89"))).endswith("not little-endian")
    assert sentence(legacy(body, numbers_of, about=pickled(NONE))).endswith("not little-endian")
    other = "its list of storages is not that of its arrays"
    assert sentence(legacy(body, {"1": raw(SIX)})) == other
    assert sentence(legacy(body, numbers_of | {"1": raw(SIX)})) == other
    two = dictionary({"w": plain, "v": tensor(storage("0", 6, "LongStorage"), [6], [1])})
    assert sentence(legacy(two, numbers_of)) == "it describes the storage '0' in two ways"
    view = several(*(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu")))
    view = view[:-1] + number(6) + numbers([1, 2, 3]) + b"tQ"
    assert "gave up in 2018" in sentence(one(tensor(view, [6], [1])))
    for wrong in (
        tensor(storage("0", 6), [-1], [1]),
        tensor(storage("0", 6), [6], [-1]),
        tensor(storage("0", 6), [6], [1, 1]),
        tensor(storage("0", -6), [6], [1]),
        tensor(text("0"), [6], [1]),
        storage("0", 6, "FloatStorage")[:-1] + b"R",
        text("w") + ORDERED[:-1] + b"s",
        b"h\x07",
        b"R",
        b"0000",
    ):
        said = sentence(one(wrong))
        assert said == "its instructions are damaged" or said.startswith(
            "it has the instruction POP"
        )


def test_every_cut_and_every_flipped_byte_is_a_sentence_or_other_numbers(read):
    good = one(tensor(storage("0", 6), [2, 3], [3, 1]))
    for at in range(len(good)):
        with pytest.raises(ValueError, match=r"old\.pth"):
            read(good[:at])
        for flip in (1, 0x80):
            try:
                read(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
            except ValueError as error:
                assert "old.pth" in str(error)


def test_another_format_is_named(tmp_path):
    (tmp_path / "new.pth").write_bytes(b"PK\x03\x04")
    assert not is_legacy(tmp_path / "new.pth")
    with pytest.raises(ValueError, match=r"new\.pth is not a \.pth file of the format before 2020"):
        read_legacy(tmp_path / "new.pth")
    with pytest.raises(ValueError, match=r"there is no file .*absent\.pth"):
        read_legacy(Path(tmp_path / "absent.pth"))
