"""The data that an evaluation keeps of its items, and which of them can be scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avloc.clustering import CategoryMap
from avloc.evaluation.edges import pixel_edges
from avloc.evaluation.protocols import Protocol
from avloc.types import Batch, Prediction


class Items(NamedTuple):
    """Everything kept of `S` items; maps are measured batch by batch and not kept.

    `heard` are the scores of categories from the sound alone, 0 to 1; `scores`, those of sounding
    in the picture. Both are without columns if the method does not distinguish categories.
    `heard_cluster` is the source of the highest score by sound, or -1. `sounding` only concerns
    objects in the picture: a slot is silent, sounding, or a sound from off screen.
    """

    heard: Float[np.ndarray, "S N"]
    scores: Float[np.ndarray, "S N"]
    cluster: Int[np.ndarray, " S"]
    heard_cluster: Int[np.ndarray, " S"]
    index: Int[np.ndarray, " S"]
    video: Int[np.ndarray, " S"]
    boxes: Float[np.ndarray, "S M 4"]
    labels: Int[np.ndarray, "S M"]
    sounding: Bool[np.ndarray, "S M"]
    offscreen: Bool[np.ndarray, "S M"]
    level_db: Float[np.ndarray, "S M"]

    def take(self, places: Bool[np.ndarray, " S"]) -> Items:
        """A selection of them."""
        return Items(*(field[places] for field in self))

    @classmethod
    def join(cls, parts: Sequence[Items]) -> Items:
        """Joins several; at least one."""
        return cls(*(np.concatenate(field) for field in zip(*parts, strict=True)))


class Part(NamedTuple):
    """The items of a batch, without padding, and their maps.

    Attributes:
      items: without their maps.
      maps: one map per category; one for everything that sounds in the task `single`.
      agnostic: whether one map was given for all categories.
    """

    items: Items
    maps: Float[np.ndarray, "S h w N"]
    agnostic: bool


def predictions(
    predict: Callable[[Batch], Prediction],
    batches: Iterable[Batch],
    protocol: Protocol,
    categories: CategoryMap | None,
    n: int,
) -> Iterator[Part]:
    """Predicts batch after batch, and keeps what the protocol's task needs.

    Raises:
      ValueError: there are no items, a map or score is not finite, or maps fit no category.
    """
    empty = True
    for batch in batches:
        mask = np.asarray(batch.mask)
        if not mask.any():
            continue
        empty = False
        if protocol.truth == "all":
            known = placed(np.asarray(batch.boxes), protocol) & (np.asarray(batch.labels) >= 0)
            batch = batch._replace(sounding=np.asarray(batch.sounding) | known)
        prediction = predict(batch)
        agnostic = prediction.maps.shape[-1] == 1
        if protocol.task == "single":
            maps = np.asarray(prediction.localization, np.float32)[..., None]
        else:
            maps = _category_maps(np.asarray(prediction.maps, np.float32), categories, n)
        bad = mask & ~np.isfinite(maps).all((1, 2, 3))
        if bad.any():
            raise ValueError(f"the maps of items {np.asarray(batch.index)[bad]} are not finite")
        heard = np.asarray(prediction.heard, np.float32)
        scores = np.asarray(prediction.scores, np.float32)
        for values, what in ((heard, "scores of what is heard in"), (scores, "scores of")):
            bad = mask & ~np.isfinite(values).all(1)
            if bad.any():
                told = np.asarray(batch.index)[bad]
                raise ValueError(f"the {what} items {told} are not finite")
        one = heard.shape[-1] == 1
        sounding, offscreen = np.asarray(batch.sounding), np.asarray(batch.offscreen)
        items = Items(
            heard=_category_scores(heard, categories, n),
            scores=_category_scores(scores, categories, n),
            cluster=prediction.cluster,
            heard_cluster=np.full(len(mask), -1) if one else heard.argmax(-1),
            index=batch.index,
            video=batch.video,
            boxes=batch.boxes,
            labels=batch.labels,
            sounding=sounding & ~offscreen,
            offscreen=sounding & offscreen,
            level_db=batch.level_db,
        )
        yield Part(Items(*(np.asarray(x)[mask] for x in items)), maps[mask], agnostic)
    if empty:
        raise ValueError("there is nothing to evaluate: the split has no items")


def _category_maps(
    maps: Float[np.ndarray, "B h w K"], categories: CategoryMap | None, n: int
) -> Float[np.ndarray, "B h w N"]:
    # A set without categories is counted, not scored: any map is fine.
    if maps.shape[-1] == 1 or n == 0:
        return np.broadcast_to(maps[..., :1], (*maps.shape[:-1], max(n, 1)))
    if categories is not None:
        maps = categories.merge(maps)
    if maps.shape[-1] != n:
        raise ValueError(
            f"the maps have {maps.shape[-1]} categories, but the data set has {n}: "
            "fit the clusters to its categories first"
        )
    return maps


def _category_scores(
    scores: Float[np.ndarray, "B K"], categories: CategoryMap | None, n: int
) -> Float[np.ndarray, "B N"]:
    """Scores of categories: that of the surest cluster of each (`CategoryMap.strongest`)."""
    if scores.shape[-1] == 1 or n == 0:
        return scores[:, :0]
    return np.clip(scores if categories is None else categories.strongest(scores), 0, 1)


def reasons_not_scored(items: Items, protocol: Protocol, n: int) -> np.ndarray:
    """For each item, why its localization cannot be scored; empty if it can."""
    boxed, sounding = placed(items.boxes, protocol), items.sounding
    used = boxed | sounding | (items.labels >= 0)
    rules = [
        (~used.any(1), "nothing is annotated"),
        (~sounding.any(1), "no object is marked as sounding"),
        ((sounding & ~boxed).any(1), "a sounding object has no box"),
    ]
    if protocol.task == "multiple":
        if n and items.labels.max() >= n:
            raise ValueError(f"label {items.labels.max()} has no name: {n} names are given")
        rules.insert(0, (np.full(len(sounding), n == 0), "the data set has no class names"))
        unknown = (sounding & (items.labels < 0)).any(1)
        rules.append((unknown, "a sounding object is of unknown category"))
    return np.select([rule for rule, _ in rules], [why for _, why in rules], default="")


def placed(boxes: Float[np.ndarray, "S M 4"], protocol: Protocol) -> Bool[np.ndarray, "S M"]:
    """Whether a box covers a pixel."""
    edges = pixel_edges(boxes, protocol.size, protocol.edges)
    return (edges[..., 2:] > edges[..., :2]).all(-1)


def clip_label(
    labels: Int[np.ndarray, "S M"], sounding: Bool[np.ndarray, "S M"]
) -> Int[np.ndarray, " S"]:
    """The common label of all sounding objects of a clip; -1 if there is none."""
    highest = np.where(sounding, labels, -1).max(-1)
    agrees = (~sounding | (labels == highest[:, None])).all(-1)
    return np.where(agrees, highest, -1)
