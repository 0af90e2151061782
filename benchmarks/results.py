"""Results of a run of the benchmarks, as JSON, as a Markdown table, and as a report."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from avloc.drawing.charts import Curve
from avloc.drawing.page import write_report
from avloc.drawing.table import Table
from avloc.whole_files import replacing
from benchmarks.row import COLUMNS, REMARKS, Row


@dataclass
class Results:
    """Rows and curves so far.

    Attributes:
      machine: see `machine.describe`.
      load: before the first row and after the last, see `machine.load`.
      quick: whether sizes were those of a test.
      rows: measured.
      curves: measured.
      failures: errors, by topic.
      interrupted: whether the run was stopped before its end.
    """

    machine: dict[str, Any]
    load: list[list[float]]
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON."""
        return {
            "machine": self.machine,
            "load": self.load,
            "quick": self.quick,
            "rows": [row.to_json() for row in self.rows],
            "curves": [asdict(curve) for curve in self.curves],
            "failures": self.failures,
            "interrupted": self.interrupted,
        }

    def conditions(self) -> list[str]:
        """Machine, commit, versions and load, in sentences."""
        machine = self.machine
        versions = ", ".join(f"{name} {found}" for name, found in machine["packages"].items())
        loads = "; ".join(", ".join(map(str, values)) for values in self.load)
        told = [
            f"{machine['processor']}, {machine['cores']} cores; {machine['system']}, Python "
            f"{machine['python']}; {machine['date']}, commit {machine['commit']}.",
            f"Devices: {', '.join(machine['devices'])}. Packages: {versions}.",
            f"Load average over 1, 5 and 15 minutes, at the start and at the end: {loads}.",
        ]
        told += ["The sizes are tiny, for a test: the figures are meaningless."] * self.quick
        told += ["The run was stopped before its end."] * self.interrupted
        told += [f"Topic {topic} failed: {why}." for topic, why in self.failures.items()]
        return told

    def tables(self) -> list[Table]:
        """One row per comparison; then how results were compared, and other remarks."""
        note = (
            "Both sides are called one after the other in each round; times are medians over "
            "rounds, ratios the median, lowest and highest of the rounds' own ratios."
        )
        return [
            Table("Times", COLUMNS, [row.cells() for row in self.rows], note),
            Table("Results and sizes", REMARKS, [row.remarks() for row in self.rows]),
        ]

    def markdown(self) -> str:
        """The tables and the conditions."""
        return "\n\n".join([*(table.markdown() for table in self.tables()), *self.conditions()])

    def write_json(self, path: str | Path) -> Path:
        """Writes the file completely or not at all."""
        path = Path(path)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n")
        return path

    def write_report(self, folder: str | Path) -> Path:
        """Writes `report.html` into a folder."""
        return write_report(
            Path(folder) / "report.html",
            title="Benchmarks",
            tables=self.tables(),
            curves=self.curves,
            notes=self.conditions(),
        )
