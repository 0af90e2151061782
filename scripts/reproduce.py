"""Trains one config from several seeds and prints one table of all of them.

`python scripts/reproduce.py --config configs/csol_toy.py --workdir runs/reproduction` trains seeds
0, 1 and 2, each a normal run in its own folder. Finished runs are not trained again, and an
interrupted one continues, so you can simply run the same command again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from avloc.ablation.pooling import mean_and_spread

TARGETS = {
    ("test", "IoU@0.5"): 60.0,
    ("test", "AUC"): 50.0,
    ("test", "NMI"): 0.85,
    ("cocktail_test", "CIoU@0.3"): 32.3,
    ("cocktail_test", "AUC"): 23.5,
    ("cocktail_test", "NSA"): 90.0,
    ("cocktail_test", "AUROC"): 0.75,
}
"""Lowest values for `configs/csol_toy.py` after stage two."""


def main(argv: Sequence[str] | None = None) -> int:
    """Trains what is missing, then prints the tables; exit status of the first failure, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", default="configs/csol_toy.py")
    parser.add_argument("--workdir", type=Path, default=Path("runs/reproduction"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args, fields = parser.parse_known_args(argv)
    runs = {}
    for seed in args.seeds:
        runs[seed] = args.workdir / f"seed_{seed}"
        if not (runs[seed] / "metrics.json").is_file():
            command = [sys.executable, "-m", "avloc", "train", "--config", args.config]
            command += ["--workdir", str(runs[seed]), f"--config.seed={seed}", *fields]
            if args.data_dir is not None:
                command += ["--data-dir", str(args.data_dir)]
            status = subprocess.run(command, check=False).returncode
            if status:
                return status
    splits = {
        seed: json.loads((run / "metrics.json").read_text())["splits"] for seed, run in runs.items()
    }
    for split in next(iter(splits.values())):
        print(f"\n{table(split, {seed: found[split] for seed, found in splits.items()})}")
    return 0


def table(split: str, seeds: Mapping[int, Mapping[str, Mapping]]) -> str:
    """A Markdown table: a row for each method and seed, then the mean and spread over seeds.

    A method that scores the same for every seed (it is not trained) has one row, of seed `any`.
    """
    first = next(iter(seeds.values()))
    any_row = next(iter(first.values()))
    columns = list(dict.fromkeys(name for row in first.values() for name in row["metrics"]))
    lines = [
        f"Split `{split}`, protocol `{any_row['protocol']}`, "
        f"{any_row['evaluated']} of {any_row['total']} evaluated.",
        "",
        "| method | seed | " + " | ".join(columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for method in first:
        values = {seed: rows[method]["metrics"] for seed, rows in seeds.items() if method in rows}
        one = next(iter(values.values()))
        if len(values) > 1 and all(found == one for found in values.values()):
            values = {"any": one}
        for seed, found in values.items():
            cells = [_cell(found.get(name)) for name in columns]
            lines.append(f"| {method} | {seed} | " + " | ".join(cells) + " |")
        if len(values) > 1:
            cells = [_summary([found.get(name) for found in values.values()]) for name in columns]
            lines.append(f"| **{method}** | mean ± sd | " + " | ".join(cells) + " |")
    targets = [_target(split, name) for name in columns]
    if any(targets):
        lines.append("| *target, after stage two* | | " + " | ".join(targets) + " |")
    return "\n".join(lines)


def _cell(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    value, low, high = (_number(found[part]) for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _summary(found: Sequence[Mapping[str, float] | None]) -> str:
    values = [entry["value"] for entry in found if entry is not None]
    if not values:
        return "-"
    mean, spread = mean_and_spread(values)
    return f"**{_number(mean)} ± {_number(spread)}**"


def _target(split: str, name: str) -> str:
    target = TARGETS.get((split, name))
    return "" if target is None else f"≥ {_number(target)}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) <= 1 else f"{value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
