"""Files are written here by hand, from the published description of the format."""

import json
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from avloc.safetensors import Safetensors

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


TWICE = b'{"a": %s, "a": %s}' % tuple(json.dumps(entry(kind)).encode() for kind in ("F32", "I32"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "header too small"),
        (b"\x01\x00", "header too small"),
        (packed({"a": entry()}, EIGHT, length=2**63), "header too large"),
        (packed({"a": entry()})[:20], "invalid header length"),
        (packed(b"{"), "invalid JSON in header"),
        (packed(b"\xff\xfe"), "invalid UTF-8 in header"),
        (packed(b"[" * 20_000), "invalid JSON in header"),
        (packed(b'{"a":' + b"[" * 2_000_000), "recursion limit exceeded"),
        (packed([]), "invalid JSON in header"),
        (packed(TWICE, EIGHT), "a name stands in its header twice"),
        (packed({"a": 1}, EIGHT), "integer `1`, expected struct TensorInfo"),
        (packed({"a": {"dtype": "F32", "shape": [2]}}, EIGHT), "missing field `data_offsets`"),
        (packed({"a": entry(offsets=(0, 8, 8))}, EIGHT), "length 3, expected 2 elements"),
        (packed({"a": entry("F5")}, EIGHT), "unknown variant `F5`"),
        (packed({"a": entry(["F32"])}, EIGHT), "sequence, expected string"),
        (packed({"a": entry("F4")}, EIGHT), "invalid shape, data type, or offset"),
        (packed({"a": entry("F4", (16,))}, EIGHT), "'a' is of type F4; read are BOOL, U8"),
        (packed({"a": entry("F8_E4M3", (8,))}, EIGHT), "'a' is of type F8_E4M3; read are BOOL"),
        (packed({"a": entry("C64", (1,))}, EIGHT), "'a' is of type C64; read are BOOL, U8"),
        (packed({"a": entry(shape=(-2,))}, EIGHT), "integer `-2`, expected usize"),
        (packed({"a": entry(shape=(2.0,))}, EIGHT), "floating point `2.0`, expected usize"),
        (packed({"a": entry(offsets=(-8, 0))}, EIGHT), "integer `-8`, expected usize"),
        (packed({"a": entry(shape=(3,))}, EIGHT), "invalid shape, data type, or offset"),
        (packed({"a": entry(shape=(2**40, 2**40))}, EIGHT), "overflow computing buffer size"),
        (packed({"a": entry(shape=(0, 2**70), offsets=(0, 0))}), "expected usize"),
        (packed({"a": entry(shape=(True, 2))}, EIGHT), "boolean `true`, expected usize"),
        (packed({"a": entry(offsets=(8, 16))}, bytes(16)), "invalid offset for tensor `a`"),
        (packed({"a": entry(), "b": entry()}, EIGHT), "invalid offset for tensor"),
        (packed({"a": entry()}, EIGHT + b"more"), "file not fully covered"),
        (packed({"a": entry()}, EIGHT[:5]), "file not fully covered"),
        (packed({"__metadata__": {"a": 1}}), "integer `1`, expected a string"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_a_header_claims_is_checked(tmp_path, content, why):
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=why) as raised:
        Safetensors(tmp_path / "bad.safetensors")
    assert str(tmp_path / "bad.safetensors") in str(raised.value)


@pytest.mark.parametrize("shape", [(0, 2**62), (0, 2**63), (0,) * 70])
def test_a_shape_that_numpy_has_not(tmp_path, shape):
    (tmp_path / "bad").write_bytes(packed({"a": entry(shape=shape, offsets=(0, 0))}))
    with pytest.raises(ValueError, match=r"bad is not a safetensors file.*: 'a': "):
        Safetensors(tmp_path / "bad")["a"]


def test_a_name_that_is_not_there(tmp_path):
    (tmp_path / "x").write_bytes(packed({"a": entry()}, EIGHT))
    read = Safetensors(tmp_path / "x")
    assert "a" in read and "b" not in read and read.get("b") is None


def test_of_a_large_file_only_what_is_asked_for_is_read(tmp_path):
    size = 2**36  # 64 GiB, of which the disk holds nothing, as the file has a hole
    header = json.dumps(
        {"vast": entry(shape=(size // 4,), offsets=(0, size)), "b": entry(offsets=(size, size + 8))}
    ).encode()
    with (tmp_path / "x").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.seek(size, 1)
        file.write(np.array([1.5, -2], "<f4").tobytes())
    read = Safetensors(tmp_path / "x")
    assert list(read) == ["vast", "b"] and read["b"].tolist() == [1.5, -2]
