"""Runs that are finished by word of their files, so that no test of a table needs training."""

import csv
import json
from pathlib import Path

from avloc.ablation.grid import Run
from avloc.evaluation import PROTOCOLS

PROTOCOL = "dsol-synthetic"


def finish(run: Run, split: str, ious: list[float], stage: str = "stage_two", **metrics) -> None:
    """Writes what scoring writes: scenes of two a video, with CIoU and NSA as given.

    `metrics`: others, as (value, low, high).
    """
    success = [100 * (iou >= 0.3) for iou in ious]
    quiet = [0.5 + iou / 2 for iou in ious]
    found = {
        "CIoU@0.3": (sum(success) / len(ious), 0.0, 100.0),
        "NSA": (100 * sum(quiet) / len(quiet), 0.0, 100.0),
        **metrics,
    }
    entry = {
        "protocol": PROTOCOL,
        "protocol_version": PROTOCOLS[PROTOCOL].version,
        "rules": "the rules",
        "evaluated": len(ious),
        "total": len(ious) + 1,
        "metrics": {
            name: dict(zip(("value", "low", "high"), x, strict=True)) for name, x in found.items()
        },
    }
    other = entry | {"metrics": {"CIoU@0.3": {"value": 0.0, "low": 0.0, "high": 0.0}}}
    rows = {
        f"CSOL after {stage.replace('_', ' ')}": entry,
        "CSOL after stage one alone": other,
    }
    items = [
        {"index": i, "video": i // 2, "not_scored": "", "ciou": iou, "nsa": nsa}
        for i, (iou, nsa) in enumerate(zip(ious, quiet, strict=True))
    ]
    unscored = {"index": len(ious), "video": 99, "not_scored": "no box", "ciou": "", "nsa": ""}
    place = run.folder / "evaluation" / split / PROTOCOL / stage
    write_items(place, [*items, unscored])
    (run.folder / "metrics.json").write_text(json.dumps({"splits": {split: rows}, "left_out": {}}))


def write_items(folder: Path, rows: list[dict]) -> None:
    folder.mkdir(parents=True)
    with (folder / "items.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
