"""The tables of a run: stored in its folder, printed, and shown in its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from avloc.drawing.table import Table
from avloc.evaluation import HEARD_METRICS, comparison, protocols
from avloc.evaluation.results import NAMED, Evaluation
from avloc.evaluation.verdict import Verdict
from avloc.json_files import parse_json, require_like
from avloc.runs.folder import RunFolder
from avloc.training.methods import method_title

Rows = dict[str, Evaluation]
"""Evaluations on one split under one protocol, by the name of the row."""


_HEARD_NOTE = (
    "Using only the sound, on every item whose sounds all have a known category. A score of 0.5 or "
    "more counts as detected; precision and recall are over all pairs of an item and a category, "
    "macro ones are means over categories. All heard most: share of items in which the n "
    "categories that sound are the n with the highest scores. Quiet: 6 to 12 dB below the loudest "
    "source of the mixture. In brackets: 95 % interval over videos."
)


_NEGATIVE_NOTE = (
    "The same items with silence, and with white noise, in place of their sound: the share of "
    "them, in %, in which anything is still called sounding, and the overlap with what sounded "
    "before. A method that hears goes dark, so low is good in these two rows. This is the network "
    "alone: localize takes a second without a sample above -60 dB of full scale for silent anyway. "
    "In brackets: 95 % interval over videos."
)


@dataclass(frozen=True)
class Scores:
    """The tables of a run.

    Attributes:
      splits: the rows of each split that could be scored.
      left_out: splits that could not, with the reason.
      negative: of the last stage, for each split, rows with its own sound, silence and noise.
      verdict: on the last stage, where all of the run was scored and there is one.
    """

    splits: Mapping[str, Rows]
    left_out: Mapping[str, str]
    verdict: Verdict | None = None
    negative: Mapping[str, Rows] = field(default_factory=dict)

    def text(self, width: int | None = None) -> str:
        """The tables as they are printed, in lines of so many letters; None: as Markdown."""
        tables = [*self.tables(), *self.negative_tables()]
        parts = [f"{table.title}\n\n{table.text(width)}" for table in tables]
        return "\n\n".join([*parts, *self.remarks(), *self.verdict_text()])

    def verdict_text(self) -> list[str]:
        """The verdict as a paragraph, if there is one."""
        return [f"Verdict. {' '.join(self.verdict.sentences())}"] if self.verdict else []

    def tables(self) -> list[Table]:
        """For each split, a table of what is found in the pictures, and one of what is heard."""
        tables = []
        for split, rows in self.splits.items():
            about = heading(split, rows)
            heard = comparison(rows, f"What is heard: {about}", HEARD_METRICS.__contains__)
            tables += [
                comparison(rows, about, lambda name: name not in HEARD_METRICS),
                replace(heard, note=_HEARD_NOTE),
            ]
        return [table for table in tables if len(table.columns) > 1]

    def named_tables(self) -> list[Table]:
        """For each split of scenes, how right the names are that `localize` gives: shown first."""
        tables = [
            comparison(rows, f"What is named: {heading(split, rows)}", NAMED.__contains__)
            for split, rows in self.splits.items()
        ]
        return [table for table in tables if len(table.columns) > 1]

    def negative_tables(self) -> list[Table]:
        """For each split, what the last stage still finds where nothing of the picture sounds."""
        tables = []
        for split, rows in self.negative.items():
            title = f"With another sound: {heading(split, self.splits[split])}"
            threshold = next(iter(rows.values())).named_from
            about = f" Called sounding: a score of {threshold:g} or more." if threshold else ""
            tables.append(replace(comparison(rows, title), note=_NEGATIVE_NOTE + about))
        return tables

    def remarks(self) -> list[str]:
        """A sentence for each split, or part of one, whose localization could not be scored."""
        told = [f"Split {split} is not scored: {why}." for split, why in self.left_out.items()]
        for split, rows in self.splits.items():
            first = next(iter(rows.values()))
            told += [
                f"Split {split}: localization not scored in {count} of {first.total} items: {why}."
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
            "verdict": self.verdict.to_json() if self.verdict else None,
            "negative_audio": {
                split: {row: evaluation.to_json() for row, evaluation in rows.items()}
                for split, rows in self.negative.items()
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Scores:
        """The inverse of `to_json`, without the single items, which JSON does not contain.

        Raises:
          ValueError: made under a protocol that has changed since, or damaged.
        """
        require_like(data, _FORM, "scores")
        splits, negative = (
            {
                split: {row: _evaluation(entry) for row, entry in rows.items()}
                for split, rows in data.get(part, {}).items()
            }
            for part in ("splits", "negative_audio")
        )
        verdict = data.get("verdict")  # not there in files of earlier versions
        verdict = Verdict.from_json(verdict) if verdict else None
        return cls(splits, data["left_out"], verdict, negative)


_NUMBER = float | int
_EVALUATION = {
    **{"protocol": str, "protocol_version": int, "evaluated": int, "total": int},
    "not_scored": {str: int},
    "metrics": {str: dict.fromkeys(("value", "low", "high"), _NUMBER | None)},
    "clusters": [{"cluster": int | str, "category": str | None, "size": int, "purity": _NUMBER}],
    "named_from": _NUMBER | None,
    "named_by": str,
    "undefined": {str: str},
}
_FORM = {
    **{part: {str: {str: _EVALUATION}} for part in ("splits", "negative_audio")},
    "left_out": {str: str},
    "verdict": dict | None,
}


def network_row(method: str, stage: str, *, alone: bool) -> str:
    """The row of a trained network; `alone`: a later stage was trained on it."""
    row = f"{method_title(method)} after {stage.replace('_', ' ')}"
    return f"{row} alone" if alone else row


def heading(split: str, rows: Rows) -> str:
    """The heading of a table: the kind of its items and the split."""
    first = next(iter(rows.values()))
    if first.protocol.task == "single":
        return f"One source at a time (split {split})"
    held = [
        what
        for name, what in (
            ("AUROC", "silent objects"),
            ("off-screen AUROC", "off-screen sounds"),
        )
        if name in first.metrics
    ]
    return f"Scenes{' with ' if held else ''}{' and '.join(held)} (split {split})"


def stored_scores(run: RunFolder) -> Scores | None:
    """The content of the run's `metrics.json`; None if there is none that is still valid."""
    file = run.path / "metrics.json"
    if not file.is_file():
        return None
    try:
        return Scores.from_json(parse_json(file.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError):
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
        named_from=data.get("named_from"),  # not there in files of earlier versions
        named_by=data.get("named_by", ""),
        undefined=data.get("undefined", {}),
    )
