"""The table of `scripts/reproduce.py`."""

import runpy
from pathlib import Path

script = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "reproduce.py"))


def row(value: float) -> dict:
    metrics = {"CIoU@0.3": {"value": value, "low": value - 1, "high": value + 1}}
    return {"protocol": "paper", "evaluated": 2, "total": 3, "metrics": metrics}


def test_a_row_that_no_seed_changes_is_printed_once():
    seeds = {seed: {"CSOL": row(10.0 + 2 * seed), "centred box": row(5.0)} for seed in (0, 1, 2)}
    assert script["table"]("val", seeds).splitlines() == [
        "Split `val`, protocol `paper`, 2 of 3 evaluated.",
        "",
        "| method | seed | CIoU@0.3 |",
        "|---|---|---|",
        "| CSOL | 0 | 10.0 (9.0 to 11.0) |",
        "| CSOL | 1 | 12.0 (11.0 to 13.0) |",
        "| CSOL | 2 | 14.0 (13.0 to 15.0) |",
        "| **CSOL** | mean ± sd | **12.0 ± 2.0** |",
        "| centred box | any | 5.0 (4.0 to 6.0) |",
    ]
