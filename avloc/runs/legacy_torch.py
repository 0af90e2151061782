"""Reads `.pth` files as torch wrote them before 2020, without torch.

Five pickles follow each other: a magic number, the version of the format, facts of the machine, the
state dict, and the keys of its storages. Then come the storages in the order of the keys: a count
of numbers in 8 bytes, and the numbers.
"""

from __future__ import annotations

import math
import mmap
from pathlib import Path
from typing import Any

import numpy as np

from avloc.runs.pickled_tensors import Refused, Storage, Tensor, read_instructions

_MAGIC = 0x1950A86A20F9469CFC6C
_START = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little") + b"."
"""The first pickle, after the bytes that name the protocol."""


def is_legacy(file: Path) -> bool:
    """Whether the file begins as one of these."""
    with file.open("rb") as stream:
        return _START in stream.read(32)


def read_legacy(file: str | Path) -> dict[str, np.ndarray]:
    """The arrays of the state dict in a file, by name, in its order.

    The state dict is the file's content, or stands in it as `state_dict` or `model`. Numbers with a
    fraction come as float32, whatever their precision in the file. The arrays are read-only.

    Raises:
      ValueError: another format, a damaged file, or one that names more than arrays.
    """
    file = Path(file)
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if not is_legacy(file):
        raise ValueError(f"{file} is not a .pth file of the format before 2020")
    try:
        with file.open("rb") as stream:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return _read(content)
    except Refused as fault:
        raise ValueError(
            f"{file} is damaged, or contains more than arrays, and was not read ({fault}): "
            "save only model.state_dict(), or use a .safetensors file"
        ) from None


def _read(content: mmap.mmap) -> dict[str, np.ndarray]:
    (_, version, facts, held, keys), (*_, storages, _) = zip(
        *(read_instructions(content) for _ in range(5)), strict=True
    )
    if version != 1001:
        raise Refused("it is of another version of the format")
    if not isinstance(facts, dict) or facts.get("little_endian") is not True:
        raise Refused("its numbers are not little-endian")
    tensors = _state_dict(held)
    starts = _starts(content, keys, storages)
    size = 0
    made: dict[Tensor, np.ndarray] = {}  # tied weights are one array
    for tensor in dict.fromkeys(tensors.values()):
        size += math.prod(tensor.shape) * tensor.storage.dtype.itemsize
        if size > len(content):
            raise Refused("an array larger than the file")
        made[tensor] = _array(content, starts[tensor.storage.key], tensor)
    return {name: made[tensor] for name, tensor in tensors.items()}


def _state_dict(held: Any) -> dict[str, Tensor]:
    for name in ("state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(name), dict):
            held = held[name]
    pairs = held.items() if isinstance(held, dict) else ()
    return {k: x for k, x in pairs if isinstance(k, str) and isinstance(x, Tensor)}


def _starts(content: mmap.mmap, keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Where the numbers of each storage begin; together they fill the rest of the file."""
    listed = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not listed or sorted(keys) != sorted(storages):
        raise Refused("its list of storages is not that of its arrays")
    starts, at = {}, content.tell()
    for key in keys:
        storage = storages[key]
        if int.from_bytes(content[at : at + 8], "little") != storage.count:
            raise Refused(f"it is cut off, or storage {key[:40]!r} is not where it should be")
        starts[key] = at + 8
        at += 8 + storage.count * storage.dtype.itemsize
    if at != len(content):
        few = at > len(content)
        raise Refused(f"it has {abs(at - len(content))} bytes too {'few' if few else 'many'}")
    return starts


def _array(content: mmap.mmap, start: int, tensor: Tensor) -> np.ndarray:
    dtype = tensor.storage.dtype
    try:
        if 0 in tensor.shape:
            made = np.empty(tensor.shape, dtype)
        else:
            flat = np.frombuffer(content, dtype, tensor.storage.count, start)[tensor.offset :]
            steps = [step * dtype.itemsize for step in tensor.strides]
            made = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps).copy()
    except ValueError as fault:
        raise Refused(f"an array of the shape {tensor.shape}") from fault
    if tensor.storage.kind == "BFloat16Storage":
        made = (made.astype(np.uint32) << 16).view(np.float32)
    made = made.astype(np.float32, copy=False) if made.dtype.kind == "f" else made
    made.flags.writeable = False
    return made
