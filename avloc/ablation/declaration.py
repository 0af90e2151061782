"""What an ablation is: the file in `configs/ablations/` gives one by `get_ablation()`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from avloc.naming import did_you_mean

SHARED = "shared"
"""The folder of the shared runs; so no cell is called that."""

PLACES = tuple(("*", metric) for metric in ("IoU@0.5", "NMI", "CIoU@0.3", "AUC", "NSA", "AUROC"))
"""Columns: where things are, as the papers' tables have them."""

OFF_SCREEN = (("*", "off-screen false alarms"), ("*", "off-screen AUROC"))
"""Columns: what maps make of sounds from off screen."""

HEARING = tuple(
    ("*", metric)
    for metric in (
        "audio NMI",
        "mAP",
        "precision",
        "recall",
        "quiet recall",
        "quiet recall at precision 0.8",
    )
)
"""Columns: what is heard."""


@dataclass(frozen=True)
class Shared:
    """A run from which cells start, so that what they have in common is trained once a seed.

    Attributes:
      stage: name of the checkpoint that cells start from, such as `stage_one`.
      changes: fields of the config by dotted name. It should train no further than `stage`.
      start: name of the shared run, further up, that it starts from itself; empty: from none.
      config: its config file; the ablation's where empty.
      shown_as: name of its row in the table, where the run is a cell by itself; else it has none.
    """

    stage: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    config: str = ""
    shown_as: str = ""


@dataclass(frozen=True)
class Cell:
    """A row of the table: one run a seed.

    Attributes:
      changes: fields of the config by dotted name.
      start: name of the shared run that it starts from; empty: it trains from the beginning.
      config: its config file; the ablation's where empty.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    config: str = ""


@dataclass(frozen=True)
class Ablation:
    """A grid: cells times seeds.

    Attributes:
      config: config file of all runs that name no other.
      cells: by name, which is also the name of the cell's folder.
      shared: runs that cells start from, by name.
      seeds: `config.seed` of the runs.
      columns: (split, metric) pairs to show; the split `*` is any that has the metric. Empty: all.
      note: stands under the title: what the paper found.

    Raises:
      ValueError: no cell, no seed or the same one twice, a name that is no folder's, a start that
        is not among `shared`.
    """

    config: str
    cells: Mapping[str, Cell]
    shared: Mapping[str, Shared] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    columns: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if not self.cells:
            raise ValueError("the ablation has no cells")
        check_seeds(self.seeds)
        shown = [run.shown_as for run in self.shared.values() if run.shown_as]
        for name in (*self.cells, *self.shared, *shown):
            if not re.fullmatch(r"\w[\w.+-]*", name) or name == SHARED:
                raise ValueError(
                    f"{name!r} cannot name a run: letters, digits and _ . + - can, "
                    f"and {SHARED!r} is taken"
                )
        rows = [*shown, *self.cells]
        for name in rows:
            if rows.count(name) > 1:
                raise ValueError(f"two rows of the ablation are called {name!r}")
        known: list[str] = []
        for name, run in [*self.shared.items(), *self.cells.items()]:
            if run.start and run.start not in known:
                raise ValueError(
                    f"{name} starts from {run.start!r}, which is not among the shared runs "
                    "before it: "
                    f"{', '.join(known) or 'there are none'}{did_you_mean(run.start, known)}"
                )
            if name in self.shared:
                known.append(name)

    def metrics(self, split: str, found: Iterable[str]) -> list[str]:
        """Which metrics of a split are shown, given those that were found."""
        found = list(found)
        return [
            metric
            for of, metric in self.columns or [(split, metric) for metric in found]
            if of == split or (of == "*" and metric in found)
        ]


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raises a ValueError where there is no seed, or one comes twice."""
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"an ablation needs seeds, each once, not {list(seeds)}")
