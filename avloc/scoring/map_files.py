"""Arrays of numbers by name: a folder of `.npy` and `.png`, an `.npz` or a `.safetensors` file.

Files may come from anyone: nothing is unpickled, and an array is only read on request.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image

from avloc.data_pipelines.media.pictures import MAX_PIXELS
from avloc.npy import Npz, Pickled, read_npy
from avloc.safetensors import Safetensors

_DEPTH = {"L": 2**8 - 1, "I;16": 2**16 - 1}  # largest value of Pillow's greyscale modes
_UNREADABLE = (
    *(ValueError, OSError, EOFError, SyntaxError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


class NamedArrays(Mapping[str, Float[np.ndarray, "*shape"]]):
    """The arrays at a path, by name, as float32.

    In a folder, names are the paths of the files without extension, with `/` between folders.
    A greyscale picture of 8 or 16 bits is an array of 0 to 1.

    Args:
      path: a folder, an `.npz` or a `.safetensors` file.

    Raises:
      ValueError: the path does not exist, or is none of these; on reading: an array is damaged,
        pickled, not of real numbers or not finite. The sentence names it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._arrays = self._open()
        self._names = dict.fromkeys(self._arrays)

    def __contains__(self, name: object) -> bool:  # the default of Mapping would read the array
        return name in self._names

    def __getitem__(self, name: str) -> Float[np.ndarray, "*shape"]:
        if name not in self:
            raise KeyError(name)
        what = self.describe(name)
        try:
            values = self._arrays[name]
        except _UNREADABLE as fault:
            raise self._refused(what, f"{what} cannot be read", fault) from fault
        if values.dtype.kind not in "fiub":
            raise ValueError(f"{what} contains {values.dtype}; only real numbers are accepted")
        with np.errstate(over="ignore"):
            values = np.asarray(values, np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"{what} is not finite: it has nan, inf, or values beyond float32")
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def describe(self, name: str) -> str:
        """The location of an array, for messages."""
        return f"{self.path}: {name!r}"

    def _open(self) -> Mapping[str, Shaped[np.ndarray, "*shape"]]:
        if self.path.is_dir():
            return _Folder(self.path)
        if not self.path.exists():
            raise ValueError(f"{self.path}: there is no such folder or file of maps")
        if self.path.suffix == ".safetensors":
            return Safetensors(self.path)
        if self.path.suffix != ".npz":
            raise ValueError(
                f"{self.path}: maps are a folder of ID.npy or ID.png, an .npz or a .safetensors"
            )
        try:
            return Npz(self.path)
        except _UNREADABLE as fault:
            what = str(self.path)
            raise self._refused(what, f"{what} is damaged, or not an .npz file", fault) from fault

    @staticmethod
    def _refused(what: str, words: str, fault: Exception) -> ValueError:
        if not isinstance(fault, Pickled):
            return ValueError(f"{words}: {fault}")
        return ValueError(
            f"{what} is pickled, or not an array; pickles are never read: save plain numbers "
            "with np.save(file, np.asarray(map, np.float32))"
        )


class _Folder(Mapping[str, Shaped[np.ndarray, "*shape"]]):
    def __init__(self, root: Path) -> None:
        self._files: dict[str, Path] = {}
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in (".npy", ".png") and path.is_file():
                name = path.relative_to(root).with_suffix("").as_posix()
                if other := self._files.get(name):
                    raise ValueError(f"{other} and {path} are for the same item: remove one")
                self._files[name] = path

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "*shape"]:
        path = self._files[name]
        if path.suffix.lower() == ".png":
            return _grey(path)
        with path.open("rb") as file:
            return read_npy(file, path.stat().st_size)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _grey(path: Path) -> Float[np.ndarray, "h w"]:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if math.prod(picture.size) > MAX_PIXELS:
                raise Image.DecompressionBombError
            mode, values = picture.mode, np.asarray(picture)
    except Image.DecompressionBombError as fault:
        most = MAX_PIXELS // 10**6
        raise ValueError(f"the picture has more than {most} megapixels") from fault
    if mode not in _DEPTH:
        raise ValueError(f"the picture is of mode {mode}; a map is greyscale of 8 or 16 bits")
    return np.asarray(values, np.float32) / _DEPTH[mode]
