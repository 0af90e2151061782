"""Files are written here by hand too, from the published description of the format."""

import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.safetensors import Safetensors, write

NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "uint32": "U32",
    "int32": "I32",
    "uint64": "U64",
    "int64": "I64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
}


def packed(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def file_of(arrays, metadata=None):
    header, data = {} if metadata is None else {"__metadata__": metadata}, b""
    for name, array in arrays.items():
        start, data = len(data), data + array.tobytes()
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, len(data)],
        }
    return packed(header, data)


def test_every_type_comes_back_as_it_was(tmp_path):
    values = 1.5 * np.arange(6).reshape(2, 3)
    # The odd byte in front leaves all that follow at odd addresses.
    arrays = {"odd": np.array(True)} | {
        kind: values.astype(jnp.bfloat16 if kind == "bfloat16" else kind) for kind in NAMES
    }
    arrays["a/b.c@1"] = np.zeros((0, 4), np.float32)
    (tmp_path / "all.safetensors").write_bytes(file_of(arrays, {"format": "pt"}))
    read = Safetensors(tmp_path / "all.safetensors")
    assert list(read) == list(arrays) and len(read) == len(arrays)
    assert read.metadata == {"format": "pt"} and "__metadata__" not in read
    for name, array in arrays.items():
        assert read[name].dtype == ("float32" if name == "bfloat16" else array.dtype)
        assert read[name].shape == array.shape
        np.testing.assert_array_equal(read[name], array)
    with pytest.raises(ValueError, match="read-only"):
        read["float32"][0, 0] = 1


def test_a_file_of_nothing(tmp_path):
    (tmp_path / "none").write_bytes(packed({}))
    assert dict(Safetensors(tmp_path / "none")) == {}


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends before its header does"),
        (b"\x01\x00", "ends before its header does"),
        (packed({"a": entry()}, EIGHT, length=2**63), "ends before its header does"),
        (packed({"a": entry()})[:20], "ends before its header does"),
        (packed(b"{"), "its header is no JSON"),
        (packed(b"\xff\xfe"), "its header is no JSON"),
        (packed(b"[" * 20_000), "its header is no JSON"),
        (packed([]), "no JSON object"),
        (packed(b'{"a": 1, "a": 2}'), "a name stands in it twice"),
        (packed({"a": 1}, EIGHT), "'a' lacks dtype, shape or data_offsets"),
        (packed({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "lacks dtype, shape or data_off"),
        (packed({"a": entry(offsets=(0, 8, 8))}, EIGHT), "lacks dtype, shape or data_offsets"),
        (packed({"a": entry("F4")}, EIGHT), "'a' is of type F4; read are BOOL, U8"),
        (packed({"a": entry(["F32"])}, EIGHT), "is of type"),
        (packed({"a": entry(shape=(-2,))}, EIGHT), "whole numbers of 0"),
        (packed({"a": entry(shape=(2.0,))}, EIGHT), "whole numbers of 0"),
        (packed({"a": entry(offsets=(-8, 0))}, EIGHT), "whole numbers of 0"),
        (packed({"a": entry(shape=(3,))}, EIGHT), r"F32 \[3\] does not take 8 bytes"),
        (packed({"a": entry(shape=(2**40, 2**40))}, EIGHT), "does not take 8 bytes"),
        (packed({"a": entry(shape=(0, 2**70), offsets=(0, 0))}), "whole numbers of 0"),
        (packed({"a": entry(shape=(True, 2))}, EIGHT), "whole numbers of 0"),
        (packed({"a": entry(offsets=(8, 16))}, bytes(16)), "'a' begins at byte 8, not at 0"),
        (packed({"a": entry(), "b": entry()}, EIGHT), "begins at byte 0, not at 8"),
        (packed({"a": entry()}, EIGHT + b"more"), "arrays take 8 bytes and 12 are there"),
        (packed({"a": entry()}, EIGHT[:5]), "arrays take 8 bytes and 5 are there"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_a_header_claims_is_checked(tmp_path, content, why):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=why) as raised:
        Safetensors(tmp_path / "bad.safetensors")
    assert str(tmp_path / "bad.safetensors") in str(raised.value)


def test_what_is_written_byte_by_byte(tmp_path):
    arrays = {
        "short": np.array([1, -2, 3], np.int16),
        "b": np.array([[1.5, -2.0]], ">f4"),
        "a/é": np.array(0.5, np.float32),
        "half": np.array([1.0, -3.0], jnp.bfloat16),
        "none": np.zeros((0, 2), np.float64),
    }
    write(tmp_path / "x", arrays, {"format": "mine"})
    # Wide types first, then by name; the header ends at a multiple of 8.
    header = (
        b'{"__metadata__":{"format":"mine"},'
        b'"none":{"dtype":"F64","shape":[0,2],"data_offsets":[0,0]},'
        b'"a/\\u00e9":{"dtype":"F32","shape":[],"data_offsets":[0,4]},'
        b'"b":{"dtype":"F32","shape":[1,2],"data_offsets":[4,12]},'
        b'"half":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},'
        b'"short":{"dtype":"I16","shape":[3],"data_offsets":[16,22]}}'
    )
    header += b" " * (-len(header) % 8)
    data = bytes.fromhex("0000003f0000c03f000000c0803f40c00100feff0300")
    assert (tmp_path / "x").read_bytes() == struct.pack("<Q", len(header)) + header + data
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_what_is_written_is_read(tmp_path):
    values = 1.5 * np.arange(24).reshape(2, 3, 4)
    arrays = {kind: values.astype(jnp.bfloat16 if kind == "bfloat16" else kind) for kind in NAMES}
    arrays["turned"] = np.asarray(values.T, np.float32)[::2]
    arrays["device"] = jnp.arange(3)
    write(tmp_path / "x", arrays)
    read = Safetensors(tmp_path / "x")
    assert read.metadata == {} and set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    write(tmp_path / "x", {"a": np.ones(3)})
    before = (tmp_path / "x").read_bytes()
    for bad in ({"a": np.array(["text"])}, {"__metadata__": np.ones(3)}, {"a": np.ones(1, "c8")}):
        with pytest.raises(ValueError, match="safetensors has no array"):
            write(tmp_path / "x", bad)
    assert (tmp_path / "x").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
