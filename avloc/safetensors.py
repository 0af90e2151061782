"""Reads safetensors files of anyone, by the library, with its refusals as sentences.

Two things the library leaves to its caller: which number types are taken, and that a name which
stands twice in a header has two meanings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

_TAKEN = ["BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "BF16", "F32", "F64"]


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
        try:
            self._file = safe_open(self.path, framework="numpy")
            with self.path.open("rb") as file:  # its length is checked by now
                header = file.read(int.from_bytes(file.read(8), "little"))
            names = json.loads(header, object_pairs_hook=_once)
        except (SafetensorError, ValueError, RecursionError) as fault:
            raise self._wrong(fault) from fault
        self.metadata: dict[str, str] = names.pop("__metadata__", None) or {}
        self._names = dict.fromkeys(names)
        for name in names:
            kind = self._file.get_slice(name).get_dtype()
            if kind not in _TAKEN:
                raise ValueError(
                    f"{self.path}: {name!r} is of type {kind}; read are {', '.join(_TAKEN)}"
                )

    def __contains__(self, name: object) -> bool:  # a mapping's own would read the array
        return name in self._names

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        try:
            array = self._file.get_tensor(name)
        except (
            SafetensorError,
            ValueError,
            RecursionError,
        ) as fault:  # such as a shape that NumPy has not
            raise self._wrong(f"{name!r}: {fault}") from fault
        array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _wrong(self, why: object) -> ValueError:
        said = str(why).removeprefix("Error while deserializing header: ")
        return ValueError(f"{self.path} is not a safetensors file, or is damaged: {said}")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in its header twice")
    return found
