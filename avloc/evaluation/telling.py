"""Which metrics say something on a set, and what a table says of the others.

Those do that have a value, and that no row without a trained model nearly wins.
"""

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

NOT_SCORED = "not scored"
"""What stands in place of a figure that a metric does not have; the note says why."""

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


def reasons_in_words(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A sentence for each reason: its metrics, and the rows where it is not that of all.

    Args:
      rows: by the name of the row, the reason for each metric that it lacks.
    """
    metrics = dict.fromkeys(name for why in rows.values() for name in why)
    told: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in metrics:
        for reason in dict.fromkeys(why[metric] for why in rows.values() if metric in why):
            those = tuple(row for row, why in rows.items() if why.get(metric) == reason)
            told.setdefault((reason, those), []).append(metric)
    return [
        f"{', '.join(listed)}: {NOT_SCORED}: {reason}"
        f"{'' if len(those) == len(rows) else ' (' + ', '.join(those) + ')'}."
        for (reason, those), listed in told.items()
    ]
