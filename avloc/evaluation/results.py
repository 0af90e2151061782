"""The result of an evaluation: metrics with intervals, counts of items, one row per item."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avloc.drawing.table import Cell, Table
from avloc.evaluation.bootstrap import Interval
from avloc.evaluation.ordering import in_order
from avloc.evaluation.protocols import Protocol
from avloc.evaluation.telling import CANNOT_TELL, explanation, shown_as_found, undecided

_PERCENT = re.compile(r"IoU(_class)?@|AUC$|NSA$|false alarms$|AP\d+$")
"""Metrics in per cent, as in the papers; all others are in 0..1."""

TOO_FEW = "too few videos"
"""What stands in place of an interval that cannot be had."""

_NAMED = ("named precision", "named recall")


@dataclass(frozen=True)
class Evaluation:
    """Scores of one predictor on one set under one protocol.

    Attributes:
      protocol: its rules.
      metrics: by name `value`, `low` and `high` (a 95 % interval over videos; nan where there
        are too few), in the order of `ordering.in_order`. Metrics that nothing could be scored
        for are missing.
      evaluated: items that were scored.
      total: items there were.
      reasons: how many items were left out, by reason.
      items: one row per item, in order.
      clusters: purity of each cluster against the known labels; empty without.
      named_from: the score from which on a category is named; None: names are not scored.
    """

    protocol: Protocol
    metrics: Mapping[str, Mapping[str, float]]
    evaluated: int
    total: int
    reasons: Mapping[str, int]
    items: Sequence[Mapping[str, Any]]
    clusters: Sequence[Mapping[str, Any]] = field(default=())
    named_from: float | None = None

    def __post_init__(self) -> None:
        ordered = {name: self.metrics[name] for name in in_order(self.metrics)}
        object.__setattr__(self, "metrics", ordered)

    def summary(self) -> list[str]:
        """Lines to print: the protocol, how many items were scored and why not all, the metrics."""
        lines = [self.protocol.describe(), f"{self.evaluated} of {self.total} evaluated"]
        lines += [f"  {count} not scored: {why}" for why, count in self.reasons.items()]
        lines += [f"  {name}: {_cell(name, value)}" for name, value in self.metrics.items()]
        return lines

    def to_json(self) -> dict[str, Any]:
        """Everything except the items; a missing value is None."""
        return {
            "protocol": self.protocol.name,
            "protocol_version": self.protocol.version,
            "rules": self.protocol.describe(),
            "evaluated": self.evaluated,
            "total": self.total,
            "not_scored": dict(self.reasons),
            "metrics": {
                name: {key: None if math.isnan(x) else x for key, x in value.items()}
                for name, value in self.metrics.items()
            },
            "clusters": [dict(row) for row in self.clusters],
            "named_from": self.named_from,
        }

    def write(self, folder: str | Path) -> None:
        """Writes `items.csv` and `metrics.json` into the folder, which is created if missing."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, list(self.items[0]) if self.items else ["index"])
        writer.writeheader()
        writer.writerows(self.items)
        metrics = json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n"
        for name, text in (("items.csv", table.getvalue()), ("metrics.json", metrics)):
            unfinished = folder / f".{name}"
            with unfinished.open("w", newline="", encoding="utf-8") as file:
                file.write(text)
            unfinished.replace(folder / name)


def metric(interval: Interval, scale: float = 1.0) -> dict[str, float]:
    """An interval as a row of `Evaluation.metrics`."""
    return {key: scale * value for key, value in interval._asdict().items()}


def comparison(
    rows: Mapping[str, Evaluation | Sequence[Evaluation]],
    title: str = "Comparison",
    wanted: Callable[[str], bool] = lambda name: True,
) -> Table:
    """One row per method, one column per metric, each with its interval.

    A method may have several evaluations, of different protocols; then column headings name the
    protocol. The note says how much was scored. Where a row without a model nearly wins a metric,
    the others get "cannot tell" in place of their figure (`telling`); files keep the figures.

    Args:
      rows: evaluations by the name of the method.
      title: of the table.
      wanted: which metrics, by name, are shown.
    """
    listed = {
        name: [row] if isinstance(row, Evaluation) else list(row) for name, row in rows.items()
    }
    everything = [evaluation for row in listed.values() for evaluation in row]
    protocols = list(dict.fromkeys(evaluation.protocol.name for evaluation in everything))
    columns = [
        (protocol, name)
        for protocol in protocols
        for name in in_order(
            name for e in everything if e.protocol.name == protocol for name in e.metrics
        )
        if wanted(name)
    ]
    values: dict[tuple[str, str], dict[str, float]] = {column: {} for column in columns}
    cells = {}
    for method, row in listed.items():
        for evaluation in row:
            for name, value in evaluation.metrics.items():
                cells[method, evaluation.protocol.name, name] = _cell(name, value)
                if (column := (evaluation.protocol.name, name)) in values:
                    values[column][method] = value["value"]
    told = []
    for (protocol, name), found in values.items():
        if undecided(name, found, 100 if digits(name) == 1 else 1):
            told.append(explanation(name, found, digits(name)))
            hidden = [method for method in found if not shown_as_found(method)]
            cells |= {(method, protocol, name): Cell(CANNOT_TELL) for method in hidden}
    counts = dict.fromkeys(
        f"{e.protocol.describe()}: {e.evaluated} of {e.total} evaluated" for e in everything
    )
    if any(name in _NAMED for _, name in columns):
        thresholds = {e.named_from for e in everything if e.named_from is not None}
        told[:0] = [f"Named: score of {x:g} or more, as localize." for x in sorted(thresholds)]
    several = len(protocols) > 1
    return Table(
        title,
        ["", *(f"{name} ({protocol})" if several else name for protocol, name in columns)],
        [
            [method, *(cells.get((method, *column), Cell("-")) for column in columns)]
            for method in listed
        ],
        " ".join(["; ".join(counts) + ". In brackets: 95 % interval over videos.", *told]),
    )


def compare(rows: Mapping[str, Evaluation | Sequence[Evaluation]]) -> str:
    """`comparison` as a Markdown table, aligned so that it reads as plain text too."""
    return comparison(rows).markdown()


def _cell(name: str, value: Mapping[str, float]) -> Cell:
    n = digits(name)
    if math.isnan(value["value"]):
        return Cell("-")
    if math.isnan(value["low"]):
        return Cell(f"{value['value']:.{n}f}", TOO_FEW)
    return Cell(f"{value['value']:.{n}f}", f"[{value['low']:.{n}f}, {value['high']:.{n}f}]")


def digits(name: str) -> int:
    """Number of digits after the point: 1 for percentages, else 3."""
    return 1 if _PERCENT.search(name) else 3
