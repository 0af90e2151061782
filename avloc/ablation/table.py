"""The table of an ablation: one row per cell, pooled over seeds, in Markdown and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avloc.ablation.grid import Grid, Run
from avloc.ablation.pooling import Pooled, pool, read_items, same_protocol
from avloc.ablation.runner import seconds_of
from avloc.drawing.table import Cell, Table
from avloc.evaluation.ordering import in_order
from avloc.evaluation.results import TOO_FEW, digits
from avloc.evaluation.telling import NOT_SCORED, reasons_in_words
from avloc.json_files import read_json, take
from avloc.runs.folder import write_atomically
from avloc.runs.recorded import restorable


@dataclass(frozen=True)
class SplitTable:
    """All scores on one split under the same rules.

    Attributes:
      split: its name.
      rules: the protocol in words.
      protocol: its name and version.
      evaluated: items that were scored.
      total: items that there are.
      scores: by row and metric.
      stages: the network of each row, such as `CSOL after stage two`.
      undefined: by row, the reason for each metric that no seed of it has.
    """

    split: str
    rules: str
    protocol: tuple[str, int]
    evaluated: int
    total: int
    scores: Mapping[str, Mapping[str, Pooled]]
    stages: Mapping[str, str]
    undefined: Mapping[str, Mapping[str, str]]


def split_tables(grid: Grid) -> list[SplitTable]:
    """Scores of the finished runs; runs under other rules get their own table."""
    found: dict[tuple[Any, ...], dict[str, dict[int, tuple[Run, str, Any]]]] = {}
    for name, runs in grid.rows.items():
        for seed, run in runs.items():
            for split, rows in _splits(run).items():
                # The last stage comes first.
                row, entry = next(iter(rows.items()))
                same = [entry[key] for key in ("protocol", "protocol_version", "rules")]
                rules = (split, *same, entry["evaluated"], entry["total"])
                found.setdefault(rules, {}).setdefault(name, {})[seed] = (run, row, entry)
    return [_split_table(rules, rows) for rules, rows in found.items()]


def _split_table(
    rules: tuple[Any, ...], rows: Mapping[str, Mapping[int, tuple[Run, str, Any]]]
) -> SplitTable:
    split, name, version, words, evaluated, total = rules
    protocol = same_protocol(name, version)
    scores, stages, undefined = {}, {}, {}
    for cell, seeds in rows.items():
        items = {}
        for seed, (run, row, _) in seeds.items():
            stage = row.partition(" after ")[2].replace(" ", "_")
            items[seed] = read_items(run.folder / "evaluation" / split / name / stage / "items.csv")
        there = {seed: entry["metrics"] for seed, (_, _, entry) in seeds.items()}
        scores[cell] = {}
        for metric in dict.fromkeys(m for x in there.values() for m in x):
            found = {seed: x[metric] for seed, x in there.items() if metric in x}
            scores[cell][metric] = pool(metric, found, items, protocol)
        reasons: dict[str, str] = {}
        for *_, entry in seeds.values():
            reasons |= entry.get("undefined", {})
        undefined[cell] = {m: why for m, why in reasons.items() if m not in scores[cell]}
        stages[cell] = ", ".join(dict.fromkeys(row for _, row, _ in seeds.values()))
    return SplitTable(split, words, (name, version), evaluated, total, scores, stages, undefined)


def _splits(run: Run) -> Mapping[str, Any]:
    if not run.finished:
        return {}
    file = run.folder / "metrics.json"
    with restorable(file, "remove it, and run the same command again"):
        return take(read_json(file, dict), "splits", dict, str(file))


def missing(grid: Grid) -> list[tuple[str, int]]:
    """Row and seed of the runs that are missing in the table."""
    return [
        (name, seed)
        for name, runs in grid.rows.items()
        for seed, run in runs.items()
        if not run.finished
    ]


def markdown(grid: Grid, title: str, tables: Sequence[SplitTable], width: int | None = None) -> str:
    """The whole table: a heading, what is missing, then a table a split, of so wide lines."""
    lacking = missing(grid)
    parts = [f"# {title}"]
    if grid.ablation.note:
        parts.append(grid.ablation.note)
    count = sum(len(runs) for runs in grid.rows.values())
    told = f"{count - len(lacking)} of {count} cells (rows x seeds)"
    if lacking:
        told += "; missing: " + ", ".join(f"{name} (seed {seed})" for name, seed in lacking)
    parts.append(f"{told}. Mean over seeds ± standard deviation over seeds, [95 % interval].")
    parts += [text for table in tables if (text := _markdown(table, grid, width))]
    return "\n\n".join(parts) + "\n"


def _markdown(table: SplitTable, grid: Grid, width: int | None) -> str:
    known = [*table.scores.values(), *table.undefined.values()]
    metrics = in_order(m for row in known for m in row)
    metrics = grid.ablation.metrics(table.split, metrics)
    if not metrics:
        return ""
    rows, sources = [], set()
    for name in [name for name in grid.rows if name in table.scores]:
        scores = table.scores[name]
        count = max((len(score.seeds) for score in scores.values()), default=0)
        why = table.undefined[name]
        cells = [NOT_SCORED if m in why else _cell(m, scores.get(m), count) for m in metrics]
        rows.append([name, table.stages[name], f"{count} of {len(grid.seeds)}", *cells])
        sources |= {scores[m].interval for m in metrics if m in scores}
    notes = []
    if "videos" in sources:
        notes.append("[ ]: an interval over videos, of scores averaged over seeds.")
    if "seeds" in sources:
        notes.append(
            "~[ ]: mean of each seed's own interval over videos, because the metric is not a mean "
            "over items; wider than an interval of the mean over seeds."
        )
    notes += [f"No cell has {m}." for m in metrics if not any(m in row for row in known)]
    notes += reasons_in_words(
        {
            row: {m: reason for m, reason in why.items() if m in metrics}
            for row, why in table.undefined.items()
        }
    )
    heading = f"Split `{table.split}`, {table.rules}; {table.evaluated} of {table.total} evaluated."
    columns = ["cell", "network", "seeds", *metrics]
    return f"{heading}\n\n{Table('', columns, rows, ' '.join(notes)).text(width)}"


def _cell(metric: str, score: Pooled | None, count: int) -> str | Cell:
    """A value as it is printed; `count`: the seeds of its row, some of which may lack it."""
    if score is None or math.isnan(score.mean):
        return "-"
    n = digits(metric)
    text = f"{score.mean:.{n}f}"
    if not math.isnan(score.spread):
        text += f" ± {score.spread:.{n}f}"
    if len(score.seeds) < count:
        text += f" ({len(score.seeds)} seeds)"
    sign = {"videos": "", "seeds": "~"}.get(score.interval)
    if sign is None or math.isnan(score.low):
        return Cell(text, TOO_FEW)
    return Cell(text, f"{sign}[{score.low:.{n}f}, {score.high:.{n}f}]")


def to_json(grid: Grid, title: str, tables: Sequence[SplitTable]) -> dict[str, Any]:
    """The table with everything behind it; a missing value is None."""

    def told(runs: Mapping[int, Run]) -> dict[str, Any]:
        run = runs[grid.seeds[0]]
        return {
            "config": run.file,
            "data": run.config.data.name,
            "changes": dict(run.changes),
            "start": f"{run.after.name}/{run.after.stage}" if run.after else None,
            "runs": {
                seed: {
                    "folder": str(run.folder.relative_to(grid.workdir)),
                    "finished": run.finished,
                    "seconds": seconds_of(run),
                }
                for seed, run in runs.items()
            },
        }

    return {
        "ablation": title,
        "config": grid.config,
        "note": grid.ablation.note,
        "seeds": list(grid.seeds),
        "shared": {name: told(runs) for name, runs in grid.shared.items()},
        "cells": {name: told(runs) for name, runs in grid.rows.items()},
        "missing": [{"cell": name, "seed": seed} for name, seed in missing(grid)],
        "tables": [_plain(asdict(table)) for table in tables],
    }


def write(grid: Grid, title: str, width: int | None = None) -> str:
    """Writes `ablation.md` and `ablation.json` into the workdir, and gives the text to print.

    Its tables are no wider than `width`; None: they are Markdown, as in the file.
    """
    tables = split_tables(grid)
    data = json.dumps(to_json(grid, title, tables), indent=2, allow_nan=False)
    write_atomically(Path(grid.workdir) / "ablation.md", markdown(grid, title, tables))
    write_atomically(Path(grid.workdir) / "ablation.json", data + "\n")
    return markdown(grid, title, tables, width)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(x) for key, x in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return None if isinstance(value, float) and math.isnan(value) else value
