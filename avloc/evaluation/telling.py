"""Which metrics say something on a set: those that no row without a trained model nearly wins."""

from __future__ import annotations

import re
from collections.abc import Mapping

from avloc.evaluation.baselines import DEAF

FREE_ROWS = ("whole image", "centred box", "random map", "untrained network")
"""Rows that have learnt nothing."""

LIMIT = 0.9
"""Share of a metric's best value up to which such a row may come."""

CANNOT_TELL = "cannot tell"
"""What stands in a table in place of a figure that says nothing."""

_HALVES = re.compile(r"NSA$|(^| )recall$|false alarms$")
"""A map of nothing, or of everything, wins these; each is read with the other half of its pair."""


def undecided(metric: str, rows: Mapping[str, float], best: float) -> bool:
    """Whether a row without a model passes `LIMIT` of a metric.

    Args:
      metric: its name.
      rows: its value in each row.
      best: its best value, 1 or 100.
    """
    passed = any(rows.get(row, 0.0) > LIMIT * best for row in FREE_ROWS)
    return passed and not _HALVES.search(metric)


def explanation(metric: str, rows: Mapping[str, float], digits: int) -> str:
    """A sentence on a metric of `undecided`."""
    free = {row: rows[row] for row in FREE_ROWS if row in rows}
    winner = max(free, key=free.__getitem__)
    return (
        f"{metric}: {CANNOT_TELL}, as here the {winner}, which has learnt nothing, "
        f"gets {free[winner]:.{digits}f}."
    )


def shown_as_found(row: str) -> bool:
    """Whether a row keeps its figure where a metric is undecided: it has nothing to claim."""
    return row in (*FREE_ROWS, *DEAF, "ceiling")
