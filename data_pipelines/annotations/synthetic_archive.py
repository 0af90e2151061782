"""The published archive of MUSIC-Synthetic: pictures, boxes, and spectrograms that are pickles.

The layout is known from the published code, which reads these: folders `video` (`ID.jpg`), `audio`
(`ID.pkl`) and, beside those of the test set, `box` (`ID.npy`). The content is not trusted: a
pickle can run any program, so pickles are read by an unpickler that knows only the names that a
NumPy array is written with, and does not call NumPy for them either.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from avloc.data_pipelines.annotations.boxes import check_order, from_xywh, has_area
from avloc.data_pipelines.annotations.music import CATEGORIES
from avloc.data_pipelines.collection import Object
from avloc.npy import read_npy

LOG_MEL_SHAPE = (201, 64)

MAX_BYTES = 1 << 20
"""A spectrogram takes 50 to 100 kB, the boxes of a scene a few hundred bytes."""


class SceneFiles(NamedTuple):
    """The files of a scene.

    Attributes:
      id: its name in the archive, after the folder of its part.
      image: picture of the four clips.
      log_mel: pickle of the mixture's spectrogram.
      boxes: of the sounding objects; None in the training part, which has none.
    """

    id: str
    image: Path
    log_mel: Path
    boxes: Path | None


def find_scenes(root: str | Path) -> dict[str, list[SceneFiles]]:
    """Scenes of `cocktail_train` and `cocktail_test` anywhere below a folder, sorted by name.

    A `video` folder with an `audio` folder beside it is one part of the archive; it is the test
    set if there is a `box` folder too. Missing files of a scene are reported when it is read.

    Raises:
      ValueError: there is no such folder, or no part of the archive in it.
    """
    root = Path(root).expanduser().resolve()
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; --source takes the unpacked archive")
    found: dict[str, list[SceneFiles]] = {}
    for video in sorted(path for path in root.rglob("video") if path.is_dir()):
        part = video.parent
        if not (part / "audio").is_dir():
            continue
        boxed = (part / "box").is_dir()
        prefix = "" if part == root else f"{part.relative_to(root).as_posix()}/"
        scenes = [
            SceneFiles(
                id=f"{prefix}{image.stem}",
                image=image,
                log_mel=part / "audio" / f"{image.stem}.pkl",
                boxes=part / "box" / f"{image.stem}.npy" if boxed else None,
            )
            for image in sorted(video.glob("*.jpg"))
        ]
        if scenes:
            found.setdefault("cocktail_test" if boxed else "cocktail_train", []).extend(scenes)
    if not found:
        raise ValueError(
            f"{root}: no folder `video` of ID.jpg with a folder `audio` of ID.pkl beside it; "
            "--source takes the unpacked archive of MUSIC-Synthetic"
        )
    return found


def read_boxes(path: Path, classes: Sequence[str]) -> tuple[Object, ...]:
    """Objects of a scene, from an array of rows `[x, y, width, height, category]`, in 0..1.

    Only two of the four clips of a scene are heard. The published evaluation treats every category
    with a row as sounding and every other as silent, so rows are sounding objects. The archive
    has no positions of silent objects.

    Args:
      path: of the `.npy` file.
      classes: names of the categories.

    Raises:
      ValueError: missing, too large, pickled, of another shape, or not plausible.
    """
    rows = _rows(path)
    check_order([row[:4] for row in rows], "xywh", path)
    objects = []
    for *row, category in rows:
        if category not in CATEGORIES:
            known = ", ".join(map(str, CATEGORIES))
            raise ValueError(f"{path}: category {category:g} is not one of {known}")
        box = from_xywh(row)
        if not has_area(box):
            raise ValueError(f"{path}: the box {row} has no area")
        objects.append(Object(box, classes.index(CATEGORIES[int(category)])))
    return tuple(objects)


def check_boxes(scenes: Sequence[SceneFiles]) -> None:
    """Raises ValueError if the boxes of all scenes together are more plausible as corners.

    Scenes whose boxes cannot be read are skipped here; reading them later says why.
    """
    rows: list[list[float]] = []
    for path in (scene.boxes for scene in scenes if scene.boxes):
        with contextlib.suppress(ValueError):
            rows += [row[:4] for row in _rows(path)]
    if rows:
        check_order(rows, "xywh", path.parent)


def _rows(path: Path) -> list[list[float]]:
    """The rows of an array of boxes, unchanged."""
    size = _size(path)
    try:
        with path.open("rb") as file:
            rows = read_npy(file, size)
    except (OSError, ValueError) as fault:
        raise ValueError(f"{path}: not an array of boxes, or a damaged one") from fault
    if rows.dtype.kind not in "fiu" or rows.ndim != 2 or rows.shape[1] != 5 or not len(rows):
        raise ValueError(f"{path}: not an array of rows [x, y, width, height, category]")
    if not np.isfinite(rows).all():
        raise ValueError(f"{path}: holds values that are not finite")
    return np.array(rows, np.float64).tolist()


def read_log_mel(path: Path) -> Float32[np.ndarray, "201 64"]:
    """The spectrogram in a pickle.

    It is assumed to be what the published code computes, as `audio.log_mel` does: a Hann window
    of 160 samples at 16 kHz, hop 80, 64 slaney mel bins of the magnitude, then
    `10 log10(max(mel, 1e-10))` dB of a waveform in -1..1, at least 80 dB under the maximum.

    Raises:
      ValueError: too large; anything but an array of floats of that shape; not finite.
    """
    _size(path)
    content = path.read_bytes()
    try:
        _check_opcodes(content)
        stored = _ArrayUnpickler(io.BytesIO(content)).load()
        array = _decoded(stored)
    except _Refused as fault:
        raise ValueError(f"{path}: {fault}, so it is not read") from fault
    except _FAULTS as fault:
        raise ValueError(f"{path}: not a pickle of a NumPy array, or a damaged one") from fault
    if not np.isfinite(array).all():
        raise ValueError(f"{path}: holds values that are not finite")
    return array


def _size(path: Path) -> int:
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{path}: {size} bytes are too many for one scene")
    return size


class _Refused(Exception):
    """A pickle holds something that a spectrogram does not need."""


_FAULTS = (
    *(pickle.UnpicklingError, EOFError),
    *(AttributeError, LookupError, TypeError, ValueError),  # from a misused stand-in
)

_OPCODES = {
    *("PROTO", "FRAME", "STOP", "GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "NONE", "MARK"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NEWTRUE", "NEWFALSE"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINBYTES", "SHORT_BINBYTES", "BYTEARRAY8"),
    *("MEMOIZE", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
}

MAX_OPCODES = 200
"""NumPy's pickle of an array has about 40."""


def _check_opcodes(content: bytes) -> None:
    """Checks every instruction of a pickle without running any.

    Lengths are checked against the content, and memo indices against the number of instructions:
    the unpickler would otherwise allocate whatever memory either asks for.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if opcode.name not in _OPCODES:
            raise _Refused(f"the pickle holds {opcode.name}, which no array needs")
        if count >= MAX_OPCODES or ("PUT" in opcode.name and argument >= MAX_OPCODES):
            raise _Refused("the pickle holds more than an array")


class _Dtype:
    """Stands in for `numpy.dtype`: only keeps what it is given."""

    def __init__(self, code: Any, *_flags: Any) -> None:
        self.code, self.order = code, None

    def __setstate__(self, state: tuple) -> None:
        self.order = state[1]


class _Array:
    """Stands in for `numpy.ndarray`: only keeps what it is given."""

    def __init__(self, *state: Any) -> None:
        self.state = state

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.state = (shape, dtype, "F" if fortran is True else "C", data)


def _reconstruct(*_arguments: Any) -> _Array:
    return _Array()


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    return _Array(shape, dtype, order, data)


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _Refused("the pickle encodes something other than bytes")
    return text.encode("latin-1")


_NAMES = {("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Dtype, ("_codecs", "encode"): _encode}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _from_buffer


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names that NumPy writes arrays with, and replaces each by a stand-in."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in _NAMES:
            raise _Refused(f"the pickle names {f'{module}.{name}'[:80]!r}, which no array needs")
        return _NAMES[module, name]


def _decoded(stored: Any) -> Float32[np.ndarray, "201 64"]:
    """The array that a stand-in describes."""
    if not isinstance(stored, _Array) or len(stored.state) != 4:
        raise _Refused("the pickle is not of an array")
    shape, dtype, order, data = stored.state
    if not isinstance(dtype, _Dtype) or dtype.code not in ("f4", "f8") or dtype.order != "<":
        raise _Refused("the pickled array is not of float32 or float64")
    if shape != LOG_MEL_SHAPE or order not in ("C", "F") or not isinstance(data, bytes | bytearray):
        raise _Refused(f"the pickled array is not {LOG_MEL_SHAPE}")
    flat = np.frombuffer(data, f"<{dtype.code}")
    return np.ascontiguousarray(flat.reshape(shape, order=order), np.float32)
