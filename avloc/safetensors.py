"""Reads and writes safetensors: arrays by name, in a format that can hold nothing but numbers.

A file is 8 bytes with the length of a header (little-endian), the header (JSON: name to `dtype`,
`shape` and `data_offsets`), and the arrays' bytes, one after the other, little-endian, last axis
fastest. Everything that the header claims is checked before an array is looked at.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of a float32
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
_KINDS = {dtype.name: kind for kind, dtype in _DTYPES.items() if kind != "BF16"}
_KINDS["bfloat16"] = "BF16"
_LONGEST_HEADER = 100_000_000


class _Place(NamedTuple):
    kind: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int


class Safetensors(Mapping[str, np.ndarray]):
    """The arrays of a file by name, in the header's order; read when asked for.

    They are read-only, and bfloat16 comes as float32.

    Args:
      path: of the file.

    Raises:
      ValueError: it is not a whole safetensors file; the sentence says what is wrong.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise self._wrong("it ends before its header does")
            text = file.read(length)
        try:
            header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
        except (ValueError, RecursionError) as fault:
            raise self._wrong(f"its header is no JSON ({fault})") from fault
        if not isinstance(header, dict):
            raise self._wrong("its header is no JSON object")
        self.metadata = header.pop("__metadata__", {})
        self._places = {name: self._place(name, entry) for name, entry in header.items()}
        end = 0
        for name, place in sorted(self._places.items(), key=lambda item: item[1][3:]):
            if place.start != end:
                raise self._wrong(f"{name!r} begins at byte {place.start}, not at {end}")
            end = place.end
        if end != size - 8 - length:
            raise self._wrong(f"its arrays take {end} bytes and {size - 8 - length} are there")
        self._bytes = np.memmap(self.path, np.uint8, "r", offset=8 + length) if end else b""

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> np.ndarray:
        place = self._places[name]
        data = np.frombuffer(self._bytes[place.start : place.end], place.dtype)
        if place.kind == "BF16":
            data = (data.astype(np.uint32) << 16).view(np.float32)
        return data.reshape(place.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, name: str, entry: Any) -> _Place:
        try:
            kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        except (TypeError, KeyError, ValueError) as fault:
            raise self._wrong(f"{name!r} lacks dtype, shape or data_offsets") from fault
        if not isinstance(kind, str) or kind not in _DTYPES:
            raise self._wrong(f"{name!r} is of type {kind}; read are {', '.join(_DTYPES)}")
        if not isinstance(shape, list) or not all(map(_is_size, [*shape, start, end])):
            raise self._wrong(f"{name!r}: shape and offsets are whole numbers of 0 to 2**48")
        dtype = _DTYPES[kind]
        if end - start != math.prod(shape) * dtype.itemsize:
            raise self._wrong(f"{name!r}: {kind} {shape} does not take {end - start} bytes")
        return _Place(kind, dtype, tuple(shape), start, end)

    def _wrong(self, why: str) -> ValueError:
        return ValueError(f"{self.path} is not a safetensors file, or is damaged: {why}")


def write(
    path: str | Path,
    arrays: Mapping[str, Shaped[np.ndarray, "*shape"]],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes arrays by name into one file, whole or not at all.

    Wide types come first, so that every array lies at a multiple of its item's size; among equals
    the order is that of the names, so that equal arrays make equal files.

    Args:
      path: of the file; replaced if it is there.
      arrays: by name; bfloat16 is kept.
      metadata: texts by name, for the header.

    Raises:
      ValueError: an array of a type that the format has not.
    """
    path = Path(path)
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    listed, end = [], 0
    for name, array in sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0])):
        if array.dtype.name not in _KINDS or name == "__metadata__":
            raise ValueError(f"{path}: safetensors has no array {name!r} of {array.dtype.name}")
        start, end = end, end + array.size * array.dtype.itemsize
        kind = _KINDS[array.dtype.name]
        header[name] = {
            "dtype": kind,
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
        listed.append((array, kind))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for array, kind in listed:
                raw = np.asarray(array)
                if kind == "BF16":
                    raw = raw.view(np.uint16)
                file.write(raw.astype(_DTYPES[kind], copy=False).tobytes())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 2**48


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found
