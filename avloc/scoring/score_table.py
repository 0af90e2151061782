"""The scores of given maps: one table for all protocols, with model-free baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avloc.drawing.table import Table
from avloc.evaluation.ordering import place
from avloc.evaluation.results import Evaluation, comparison, unscored_in_words

GIVEN = "given maps"
"""Name of the row of the given maps."""


@dataclass(frozen=True)
class MapScores:
    """Scores of given maps.

    Attributes:
      title: what was scored.
      rows: for each protocol, the maps and the model-free rows, on the same items.
      left_out: protocols that do not fit the split or the maps, with the reason.
      remarks: sentences about how to read the figures.
    """

    title: str
    rows: Mapping[str, Mapping[str, Evaluation]]
    left_out: Mapping[str, str]
    remarks: Sequence[str]

    def table(self) -> Table:
        """A line for each metric and protocol, a column for each row of `rows`."""
        evaluations = list(self.rows.values())
        names = max(evaluations, key=len)  # of scenes there are more, the others among them
        found = {row: [e[row] for e in evaluations if row in e] for row in names}
        across = comparison(found)
        line_of = dict(zip(across.columns, zip(*across.rows, strict=True), strict=True))
        several = len(evaluations) > 1
        body = []
        for _, metric, values in measured(self.rows):
            heads = [f"{metric} ({rules})" if several else metric for rules in values]
            if len(heads) > 1 and len({line_of[head] for head in heads}) == 1:
                body.append([metric, *line_of[heads[0]]])
            else:
                body += [[head, *line_of[head]] for head in heads]
        note = "In brackets: 95 % interval over videos."
        note += " A line without a protocol is the same for all of them." * several
        told = unscored_in_words(found)
        return Table(self.title, ["", *names], body, " ".join([note, *told]))

    def text(self, width: int | None = None) -> str:
        """All of it, its table in lines of so many letters; None: as Markdown."""
        first = [rows[GIVEN] for rows in self.rows.values()]
        rules = [f"- {e.protocol.describe()}: {e.evaluated} of {e.total} evaluated." for e in first]
        left_out = [f"- {name} does not fit: {why}." for name, why in self.left_out.items()]
        parts = [f"# {self.title}", self.table().text(width), "\n".join(rules + left_out)]
        return "\n\n".join([*parts, *self.remarks])

    def to_json(self) -> dict[str, Any]:
        """`protocols` -> protocol -> row -> what `Evaluation.to_json` gives, and the rest."""
        return {
            "title": self.title,
            "protocols": {
                name: {row: found.to_json() for row, found in rows.items()}
                for name, rows in self.rows.items()
            },
            "left_out": dict(self.left_out),
            "remarks": list(self.remarks),
        }

    def write(self, folder: str | Path) -> None:
        """Writes `score.md`, `score.json` and, of each protocol, `PROTOCOL/items.csv`."""
        folder = Path(folder).expanduser()
        for name, rows in self.rows.items():
            rows[GIVEN].write(folder / name)
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        (folder / "score.json").write_text(text + "\n", encoding="utf-8")
        (folder / "score.md").write_text(self.text() + "\n", encoding="utf-8")


def measured(
    rows: Mapping[str, Mapping[str, Evaluation]],
) -> list[tuple[str, str, dict[str, float]]]:
    """Task, metric, and its value for the maps under each protocol that has it."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for name, evaluations in rows.items():
        own = evaluations[GIVEN]
        for metric, value in own.metrics.items():
            found.setdefault((own.protocol.task, metric), {})[name] = value["value"]
    tasks = list(dict.fromkeys(task for task, _ in found))
    ordered = sorted(found, key=lambda key: (tasks.index(key[0]), place(key[1])))
    return [(*key, found[key]) for key in ordered]
