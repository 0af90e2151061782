"""Reads `.npy` and `.npz` files of anyone: nothing is unpickled, no header is believed.

NumPy sizes an array by its header alone, and a member of an `.npz` by what it unpacks to.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Shaped

MOST_NUMBERS = 2**27
"""Of an array; a map of 512 x 512 for each of 500 classes has as many."""

MOST_BYTES = 8 * MOST_NUMBERS
_HEADER = 1 << 16
_MAGIC = b"\x93NUMPY"
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_TAKEN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Pickled(ValueError):
    """There is no array of numbers, but perhaps a pickle."""


def read_npy(file: IO[bytes], size: int) -> Shaped[np.ndarray, "*shape"]:
    """The array in an open `.npy` file.

    Args:
      file: at its beginning.
      size: bytes that it holds.

    Raises:
      Pickled: not an array, or one of objects.
      ValueError: damaged, or larger than `MOST_NUMBERS`.
    """
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise Pickled("an array of objects")
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    count = math.prod(shape)
    bytes_ = count * dtype.itemsize
    if max(count, *shape, 0) > MOST_NUMBERS or bytes_ > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_NUMBERS // 10**6} million numbers")
    if bytes_ > size:
        raise ValueError(f"it says that it has {count:,} numbers, and has fewer")
    content = file.read(bytes_)
    if len(content) < bytes_:
        raise ValueError("it is cut off")
    if not count:
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    begin = file.read(len(_MAGIC) + 2)
    if not begin:
        raise ValueError("it is empty")
    if not begin.startswith(_MAGIC):
        raise Pickled("no array")
    read = _READERS.get(tuple(begin[len(_MAGIC) :]))
    if read is None:
        raise ValueError("its header is of a version that no array of numbers needs")
    try:
        return read(file)
    except Exception as fault:  # the header is a Python literal, and fails as one
        raise ValueError("its header is damaged") from fault


class Npz(Mapping[str, Shaped[np.ndarray, "*shape"]]):
    """The arrays of an `.npz` file by name; read when asked for.

    Args:
      path: of the file.

    Raises:
      Pickled: not an `.npz` file, but perhaps a pickle.
      ValueError: it is damaged, or two arrays have one name.
    """

    def __init__(self, path: str | Path) -> None:
        with open(path, "rb") as file:
            begin = file.read(len(_MAGIC))
        if begin == _MAGIC:
            raise ValueError("it is a single array, not an .npz file")
        if begin and not begin.startswith(b"PK"):
            raise Pickled("no .npz file")
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, NotImplementedError, UnicodeError) as fault:
            raise ValueError(str(fault)) from fault
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in self._archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self._members:
                raise ValueError(f"the name {name!r} stands in it twice")
            self._members[name] = member

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "*shape"]:
        member = self._members[name]
        if member.flag_bits & 1:
            raise ValueError("it is encrypted")
        if member.compress_type not in _TAKEN:
            raise ValueError("it is compressed in a way that np.savez_compressed does not use")
        if member.file_size > MOST_BYTES + _HEADER:
            raise ValueError(f"it has more than {MOST_NUMBERS // 10**6} million numbers")
        with self._archive.open(member) as file:
            return read_npy(file, member.file_size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)
