"""Heat maps from anywhere, looked up by the id of an item.

A map is `[h, w]`, or `[h, w, N]` with one map per class; the optional `ID.scores` is `[N]`: the
probability that each class sounds, 0 to 1. No map is kept longer than its batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Float

from avloc.evaluation import metrics
from avloc.evaluation.protocols import Protocol
from avloc.progress import track
from avloc.scoring.map_files import NamedArrays
from avloc.types import Batch, Prediction

_SCORES = ".scores"
_PICTURES = (".jpg", ".jpeg", ".png")


class GivenMaps:
    """The maps of a split's items; each one is read once here, and checked.

    Attributes:
      given: `[S]`, whether an item has a map.
      unknown: names of maps that belong to no item.
      sizes: how many maps there are of each `(h, w)`.
      channels: 1 where maps are class-agnostic, else the number of classes.
      scored: whether scores are given.
      low: smallest value of all maps.
      high: largest one.

    Args:
      arrays: maps by the id of their item; where an id ends like a picture's name, that ending
        may be left out.
      ids: of all items of the split, in order.
      classes: names of the data set's classes, in its order.

    Raises:
      ValueError: no map belongs to an item, or one cannot be used: the sentence names it and says
        how to fix it.
    """

    def __init__(self, arrays: NamedArrays, ids: Sequence[str], classes: Sequence[str]):
        self._arrays, self.classes, path = arrays, tuple(classes), arrays.path
        maps = [name for name in self._arrays if not name.endswith(_SCORES)]
        if not maps:
            raise ValueError(f"{path} contains no map: nothing in it is named by the id of an item")
        place = _places(ids)
        self._names: dict[int, str] = {}
        for name in filter(place.__contains__, maps):
            other = self._names.setdefault(place[name], name)
            if other != name:
                raise ValueError(
                    f"{path}: {other!r} and {name!r} are for the same item: remove one"
                )
        self.unknown = [name for name in maps if name not in place]
        if not self._names:
            raise ValueError(
                f"{path}: none of its {len(maps)} maps is named by the id of an item; an id is "
                f"{ids[0]!r}, a map {maps[0]!r}"
            )
        self.given = np.isin(np.arange(len(ids)), list(self._names))
        self._check_maps()
        self._check_scores()

    def predictor(self, protocol: Protocol) -> Callable[[Batch], Prediction]:
        """The maps as a function of a batch of items that have one.

        `localization` is the largest of an item's classes, a class's score the largest value of its
        map; what is heard is given by the scores. If maps differ in size, each is resized here as
        the protocol does, so the protocol does not resize it again.
        """

        def predict(batch: Batch) -> Prediction:
            index, mask = np.asarray(batch.index), np.asarray(batch.mask)
            # Padding has index 0, which may have no map.
            items = np.where(mask, index, index[mask.argmax()]).tolist()
            heard = np.zeros((len(items), 1), np.float32)
            if self.scored:
                heard = np.stack([self._arrays[self._names[i] + _SCORES] for i in items])
            maps = [self._map(i) for i in items]
            scores = np.stack([values.max((0, 1)) for values in maps])
            if len(self.sizes) > 1:
                maps = [_resize(values, protocol) for values in maps]
            maps = np.stack(maps)
            cluster = np.full(len(items), -1, np.int32)
            return Prediction(maps, scores, heard, maps.max(-1), cluster)

        return predict

    def grid(self) -> tuple[int, int]:
        """The most common size of the maps."""
        return self.sizes.most_common(1)[0][0]

    def _check_maps(self) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.low, self.high, self.channels, first = np.inf, -np.inf, 0, ""
        for i, name in track(self._names.items(), "reading maps", len(self._names), "map"):
            values = self._map(i)
            channels = values.shape[-1]
            if self.channels not in (0, channels):
                raise ValueError(
                    f"{self._arrays.describe(first)} is {_kind(self.channels)}, {name!r} is "
                    f"{_kind(channels)}: give maps of one kind"
                )
            first, self.channels = first or name, channels
            self.sizes[values.shape[:2]] += 1
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))

    def _check_scores(self) -> None:
        names = [f"{n}{_SCORES}" for n in self._names.values() if f"{n}{_SCORES}" in self._arrays]
        self.scored = bool(names)
        if names and len(names) < len(self._names):
            raise ValueError(
                f"{self._arrays.path}: {len(names)} of {len(self._names)} maps have scores: give "
                "them to all or to none"
            )
        for name in names:
            scores, what = self._arrays[name], self._arrays.describe(name)
            if scores.shape != (len(self.classes),):
                raise ValueError(
                    f"{what} is {list(scores.shape)}; scores are [{len(self.classes)}], one a class"
                )
            if scores.size and not 0 <= scores.min() <= scores.max() <= 1:
                raise ValueError(f"{what} has values outside 0 to 1; scores are probabilities")

    def _map(self, i: int) -> Float[np.ndarray, "h w K"]:
        """The map of item i, its shape checked."""
        values, n = self._arrays[self._names[i]], len(self.classes)
        shape, what = list(values.shape), self._arrays.describe(self._names[i])
        if values.ndim == 2:
            values = values[..., None]
        if not values.size:
            raise ValueError(f"{what} is {shape}: it has no cells")
        if values.ndim == 3 and values.shape[-1] in (1, n):
            return values
        if values.ndim == 3 and values.shape[0] in (1, n):
            fix = "map[0]" if values.shape[0] == 1 else "np.moveaxis(map, 0, -1)"
            raise ValueError(f"{what} is {shape}: classes must come last, not first: save {fix}")
        wanted = f"[h, w], or [h, w, {n}] with one map per class" if n else "[h, w]"
        raise ValueError(f"{what} is {shape}; a map is {wanted}")


def _resize(values: Float[np.ndarray, "h w K"], protocol: Protocol) -> Float[np.ndarray, "y x K"]:
    found = metrics.resize(np.moveaxis(values, -1, 0), protocol.size, protocol.interpolation)
    return np.moveaxis(np.asarray(found), 0, -1)


def _places(ids: Sequence[str]) -> dict[str, int]:
    """Index of each id, also without its `.jpg` if that is unambiguous."""
    stems = [_stem(name) for name in ids]
    times = Counter(stems)
    short = {stem: i for i, stem in enumerate(stems) if times[stem] == 1}
    return short | {name: i for i, name in enumerate(ids)}


def _stem(name: str) -> str:
    pictured = name.lower().endswith(_PICTURES)
    return PurePosixPath(name).with_suffix("").as_posix() if pictured else name


def _kind(channels: int) -> str:
    return "one map for all classes" if channels == 1 else f"a map for each of {channels} classes"
