"""The declaration of an ablation, as returned by `get_ablation()` in `configs/ablations/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from avloc.naming import did_you_mean

SHARED = "shared"
"""The folder of the shared runs; no cell may have this name."""

PLACES = tuple(("*", metric) for metric in ("IoU@0.5", "NMI", "CIoU@0.3", "AUC", "NSA", "AUROC"))
"""Columns: localization, as in the papers' tables."""

OFF_SCREEN = (("*", "off-screen false alarms"), ("*", "off-screen AUROC"))
"""Columns: how maps react to sounds from off screen."""

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
    """A run from which cells start, so that their common part is trained once per seed.

    Attributes:
      stage: name of the checkpoint that cells start from, such as `stage_one`.
      changes: fields of the config by dotted name. It should not train beyond `stage`.
      start: name of an earlier shared run that it starts from itself; empty: none.
      config: its config file; the ablation's where empty.
      shown_as: name of its row in the table; empty: it has no row.
    """

    stage: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    start: str = ""
    config: str = ""
    shown_as: str = ""


@dataclass(frozen=True)
class Cell:
    """A row of the table: one run per seed.

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
      config: config file of all runs without their own.
      cells: by name, which is also the name of the cell's folder.
      shared: runs that cells start from, by name.
      seeds: `config.seed` of the runs.
      columns: (split, metric) pairs to show; the split `*` is any that has the metric. Empty: all.
      note: shown below the title, such as the result of the paper.

    Raises:
      ValueError: no cell, no seed or the same one twice, a name that cannot be a folder, a start
        that is not among `shared`.
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
                raise ValueError(f"two rows of the ablation have the name {name!r}")
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
        """The metrics of a split to show, given those that exist."""
        found = list(found)
        return [
            metric
            for of, metric in self.columns or [(split, metric) for metric in found]
            if of == split or (of == "*" and metric in found)
        ]


def check_seeds(seeds: tuple[int, ...]) -> None:
    """Raises a ValueError if there is no seed, or the same one twice."""
    if not seeds or len(set(seeds)) != len(seeds):
        raise ValueError(f"an ablation needs seeds, each once, not {list(seeds)}")
