"""A verdict in words: how many kinds a network tells apart on videos that it never trained on.

Videos are counted, not clips, as clips of a video resemble each other. Where classes are known, a
video counts as recognised if most of its clips are in a cluster that stands for its class. Where
they are not, what is seen is compared with what is heard: both give a cluster.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from avloc.clustering import cluster_counts, nmi
from avloc.json_files import require_like

DRAWS = 500
"""Random assignments that the agreement is compared with."""

ENOUGH = 0.9
"""Share of the kinds above which nothing is advised."""

FEW_VIDEOS = 20
"""Training videos of a class below which more of them are advised first."""

_SHARE, _SHOWN = 0.25, 3  # of a class's videos that are taken for another; pairs that are told


@dataclass(frozen=True)
class Verdict:
    """What a confusion matrix says.

    Attributes:
      named: whether kinds are classes; else they are clusters.
      kinds: how many there are to tell apart.
      missed: names of those that are not told apart.
      videos: number of them.
      agreement: share of videos recognised where clusters had their names before, else the NMI.
      chance: what 99 % of random assignments stay at or below.
      confused: a class, what it is taken for, and in how many of its videos, worst first.
      advice: what to do, most useful first; empty: nothing.
    """

    named: bool
    kinds: int
    missed: tuple[str, ...]
    videos: int
    agreement: float
    chance: float
    confused: tuple[tuple[str, str, int, int], ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def above_chance(self) -> bool:
        """Whether the agreement is more than luck."""
        return self.agreement > self.chance + 1e-9

    def sentences(self) -> list[str]:
        """The verdict as it is printed, and first in the report."""
        apart = self.kinds - len(self.missed)
        if self.named and self.kinds == 1:
            return [
                "The test videos show one class, with nothing to tell it from: add other kinds."
            ]
        on = f"on {self.videos} video{'s' * (self.videos > 1)} that it never trained on"
        if self.named:
            told = [f"It tells {apart} of {self.kinds} kinds apart, {on}."]
        else:
            told = [f"What it sees and what it hears agree on {apart} of {self.kinds} kinds, {on}."]
        if not self.above_chance and self.chance > 1 - 1e-9:
            told.append("These are too few videos to say whether that is luck.")
        elif not self.above_chance:
            told.append("That is no better than chance: do not trust what it finds yet.")
        else:
            told.append("That is better than chance.")
        if self.missed and apart and self.named:
            told.append(f"Not told apart: {_listed(self.missed, 8)}.")
        if self.confused:
            pairs = [f"{a} taken for {b} ({n} of {of} videos)" for a, b, n, of in self.confused]
            told.append(f"Most often confused: {', '.join(pairs)}.")
        if self.advice:
            told.append(f"What to do: {'; '.join(self.advice)}.")
        return told

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Verdict:
        """The inverse of `to_json`; ValueError if it is none."""
        require_like(data, _FORM, "verdict")
        if any(list(map(type, row)) != [str, str, int, int] for row in data["confused"]):
            raise ValueError('verdict, "confused": must be two names and two counts each')
        lists = {key: tuple(data[key]) for key in ("missed", "advice")}
        return cls(**{**data, **lists, "confused": tuple(map(tuple, data["confused"]))})


_FORM = {
    **{"named": bool, "kinds": int, "videos": int},
    **{"agreement": float | int, "chance": float | int},
    **{"missed": [str], "advice": [str], "confused": [list]},
}


def of_clips(
    labels: Int[np.ndarray, " S"],
    clusters: Int[np.ndarray, " S"],
    videos: Int[np.ndarray, " S"],
    k: int,
    names: Sequence[str] = (),
    **known: Any,
) -> Verdict | None:
    """The verdict on clips that were not trained on; None if there is nothing to judge by.

    Args:
      labels: class of each clip, -1 where not known; without `names`, the cluster that it is heard
        as.
      clusters: the cluster that each clip is seen as, -1 where there is none.
      videos: number of each clip's video.
      k: number of clusters.
      names: of the classes; empty: they are not known.
      known: `of_cluster` and `train_videos` of `judge`.
    """
    labels, clusters = by_video(labels, clusters, videos)
    if not len(labels):
        return None
    return judge(cluster_counts(labels, clusters, len(names) or k, k), names, **known)


def judge(
    counts: Int[np.ndarray, "N K"],
    names: Sequence[str] = (),
    *,
    of_cluster: Sequence[int] | None = None,
    train_videos: Mapping[str, int] | None = None,
) -> Verdict:
    """The verdict on a confusion matrix.

    Args:
      counts: videos of each class (without `names`: heard as each cluster) in each cluster.
      names: of the classes; empty: rows are clusters too, as are columns.
      of_cluster: class that each cluster stands for, from training clips; None: not known, and
        each video is named by the others of its cluster.
      train_videos: how many videos of each class it was trained on, if known.
    """
    counts = np.asarray(counts)
    if not names:
        table, of_cluster = counts, None
    else:
        table = _left_out(counts) if of_cluster is None else _by_name(counts, of_cluster)
    right, rows, columns = table.diagonal(), counts.sum(1), table.sum(0)
    there = rows > 0 if names else (rows > 0) | (columns > 0)
    # More than half of a kind is recognised, and more than half of what is taken for it is it.
    apart = (2 * right > rows) & (2 * right > columns)
    known = list(names) or [f"object {place + 1}" for place in range(len(table))]
    missed = [known[place] for place in np.flatnonzero(there & ~apart)]
    agreement, chance = _against_chance(counts, of_cluster)
    made = Verdict(
        named=bool(names),
        kinds=int(there.sum()),
        missed=tuple(missed),
        videos=int(counts.sum()),
        agreement=agreement,
        chance=chance,
        confused=tuple(_confused(table, counts, known)) if names else (),
    )
    return Verdict(**{**vars(made), "advice": tuple(_advice(made, counts.shape[1], train_videos))})


def by_video(
    labels: Int[np.ndarray, " S"], clusters: Int[np.ndarray, " S"], videos: Int[np.ndarray, " S"]
) -> tuple[Int[np.ndarray, " V"], Int[np.ndarray, " V"]]:
    """The commonest label and the commonest cluster of each video, among clips that have both."""
    labels, clusters, videos = map(np.asarray, (labels, clusters, videos))
    known = (labels >= 0) & (clusters >= 0)
    labels, clusters, videos = labels[known], clusters[known], videos[known]
    each = [videos == video for video in np.unique(videos)]
    commonest = [[np.bincount(x[of]).argmax() for of in each] for x in (labels, clusters)]
    return np.array(commonest[0], int), np.array(commonest[1], int)


def _left_out(counts: Int[np.ndarray, "N K"]) -> Int[np.ndarray, "N N"]:
    """Videos of each class by what they are taken for: what most other videos of their cluster are.

    A video alone in its cluster is taken for nothing.
    """
    n = len(counts)
    others = counts[None] - np.eye(n, dtype=int)[:, :, None]  # by the class of the one left out
    taken_for = others.argmax(1)
    table = np.zeros((n, n), int)
    for own, cluster in zip(*np.nonzero(counts), strict=True):
        if others[own, :, cluster].any():
            table[own, taken_for[own, cluster]] += counts[own, cluster]
    return table


def _by_name(counts: Int[np.ndarray, "N K"], of_cluster: Sequence[int]) -> Int[np.ndarray, "N N"]:
    return counts @ np.eye(len(counts), dtype=int)[list(of_cluster)]


def _pairs(counts: Int[np.ndarray, "N K"]) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each video."""
    rows, columns = np.nonzero(counts)
    times = counts[rows, columns]
    return np.repeat(rows, times), np.repeat(columns, times)


def _against_chance(
    counts: Int[np.ndarray, "N K"], of_cluster: Sequence[int] | None
) -> tuple[float, float]:
    """The agreement, and its 99th percentile when labels are dealt out at random."""
    labels, clusters = _pairs(counts)

    def agreement(labels: np.ndarray) -> float:
        if of_cluster is None:
            return float(nmi(labels, clusters))
        return float(np.mean(np.asarray(of_cluster)[clusters] == labels))

    rng = np.random.default_rng(0)
    drawn = [agreement(rng.permutation(labels)) for _ in range(DRAWS)]
    return agreement(labels), float(np.quantile(drawn, 0.99, method="higher"))


def _confused(
    table: Int[np.ndarray, "N N"], counts: Int[np.ndarray, "N K"], names: Sequence[str]
) -> list[tuple[str, str, int, int]]:
    rows = counts.sum(1)
    pairs = [
        (names[a], names[b], int(table[a, b]), int(rows[a]))
        for a, b in zip(*np.nonzero(table), strict=True)
        if a != b and table[a, b] >= max(2, _SHARE * rows[a])
    ]
    return sorted(pairs, key=lambda pair: (-pair[2] / pair[3], -pair[2], pair[0]))[:_SHOWN]


def _advice(made: Verdict, clusters: int, train_videos: Mapping[str, int] | None) -> list[str]:
    """What to do, most useful first."""
    if made.above_chance and made.kinds - len(made.missed) >= ENOUGH * made.kinds:
        return []
    told = []
    if made.named and train_videos is not None:
        few = sorted(
            (name for name in made.missed if train_videos.get(name, 0) < FEW_VIDEOS),
            key=lambda name: train_videos.get(name, 0),
        )
        if few:
            having = [f"{name} (now {train_videos.get(name, 0)})" for name in few]
            told.append(f"add training videos of {_listed(having, 5)}")
    elif made.named and made.missed:
        told.append(f"add training videos of {_listed(made.missed, 5)}")
    if made.named and clusters < 1.5 * made.kinds:
        more = math.ceil(1.5 * made.kinds)
        told.append(
            f"use more clusters than {clusters} for {made.kinds} kinds (--config.clusters={more})"
        )
    if not made.named:
        told.append("add videos, each of one kind of sounding thing")
    return [*told, "train longer"]


def _listed(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
