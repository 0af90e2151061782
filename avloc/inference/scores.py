"""The tables of a run: kept in its folder, printed, shown in its report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from avloc.evaluation import compare, protocols
from avloc.evaluation.results import Evaluation
from avloc.training.run_folder import RunFolder

Rows = dict[str, Evaluation]
"""Evaluations on one split under one protocol, by the name of the row."""


@dataclass(frozen=True)
class Scores:
    """The tables of a run.

    Attributes:
      splits: the rows of each split that could be scored.
      left_out: splits that could not, with the reason.
    """

    splits: Mapping[str, Rows]
    left_out: Mapping[str, str]

    def text(self) -> str:
        """The tables as they are printed."""
        parts = [
            f"{heading(split, rows)}\n\n{compare(rows)}" for split, rows in self.splits.items()
        ]
        return "\n\n".join([*parts, *self.remarks()])

    def remarks(self) -> list[str]:
        """A sentence for each split, or part of one, whose places could not be scored."""
        told = [f"Split {split} is not scored: {why}." for split, why in self.left_out.items()]
        for split, rows in self.splits.items():
            first = next(iter(rows.values()))
            told += [
                f"Split {split}: places are not scored in {count} of {first.total} items: {why}."
                for why, count in first.reasons.items()
            ]
        return told

    def to_json(self) -> dict[str, Any]:
        """As JSON knows it: `splits` -> split -> row -> what `Evaluation.to_json` gives."""
        return {
            "splits": {
                split: {row: evaluation.to_json() for row, evaluation in rows.items()}
                for split, rows in self.splits.items()
            },
            "left_out": dict(self.left_out),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scores:
        """The inverse of `to_json`, but for the single items, which it does not hold.

        Raises:
          ValueError: made under a protocol that has changed since.
        """
        splits = {
            split: {row: _evaluation(entry) for row, entry in rows.items()}
            for split, rows in data["splits"].items()
        }
        return cls(splits, data["left_out"])


def heading(split: str, rows: Rows) -> str:
    """What a table is about."""
    kinds = {"single": "One source at a time", "multiple": "Scenes with silent objects"}
    return f"{kinds[next(iter(rows.values())).protocol.task]} (split {split})"


def stored_scores(run: RunFolder) -> Scores | None:
    """What `metrics.json` of the run says; None where there is none that still holds."""
    file = run.path / "metrics.json"
    if not file.is_file():
        return None
    try:
        return Scores.from_json(json.loads(file.read_text()))
    except (ValueError, KeyError, TypeError):
        return None


def _evaluation(data: Mapping[str, Any]) -> Evaluation:
    protocol = protocols.get(data["protocol"])
    if protocol.version != data["protocol_version"]:
        raise ValueError(f"protocol {protocol.name} has changed since this was scored")
    metrics = {
        name: {key: float("nan") if x is None else x for key, x in value.items()}
        for name, value in data["metrics"].items()
    }
    return Evaluation(
        protocol=protocol,
        metrics=metrics,
        evaluated=data["evaluated"],
        total=data["total"],
        reasons=data["not_scored"],
        items=(),
        clusters=data["clusters"],
    )
