"""What a run is, from the plain files in its folder: at once, without JAX."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from avloc.json_files import read_json
from avloc.reports.other_folders import require_run
from avloc.runs.recorded import data_fields, history_row, read_sessions

UNKNOWN = "unknown"
_SHOWN = 4  # metrics of a split, of those that are in the table


def info(path: str | Path) -> dict[str, Any]:
    """Facts about a run, finished or not, for JSON; None where its version did not note them.

    Raises:
      ValueError: the folder holds no run; the sentence says what it is.
    """
    run = Path(path).absolute()
    config = require_run(run)
    rows = _rows(run / "train.jsonl")
    sessions = _known(read_sessions, run / "sessions.json") or []
    data = _known(data_fields, run / "data.json") or {}
    metrics = _known(partial(read_json, kind=dict), run / "metrics.json") or {}
    scores = _scores(metrics)
    stages = _stages(run, sessions)
    root, name = data.get("extra", {}).get("data_dir"), data.get("name")
    return {
        "run": str(run),
        "method": {"name": config["method"], "title": _title(sessions, scores)},
        "data": {
            "name": name or config["data"]["name"],
            "data_dir": root,
            "there": (Path(root) / name).is_dir() if root and name else None,
            "items": data.get("num_examples"),
            "fingerprint": data.get("fingerprint") or None,
        },
        "state": _state(stages, sessions),
        "stages": stages,
        "epochs": _epochs(rows, sessions),
        "steps": rows[-1]["step"] if rows else None,
        "parameters": _parameters(run / "parameters.txt"),
        "training": _training(rows, sessions),
        "sessions": sessions,
        "scores": scores,
    }


def text(facts: Mapping[str, Any]) -> str:
    """The same to be read, with what to type next."""
    method, data, epochs = facts["method"], facts["data"], facts["epochs"]
    called = f"{method['title'] or UNKNOWN} (config.method is {method['name']})"
    lines = [
        ("run", facts["run"]),
        ("method", called),
        ("data", data["name"]),
        ("", f"in {_place(data)}"),
        ("state", facts["state"] or UNKNOWN),
        ("stages", _stages_text(facts["stages"])),
        (
            "epochs",
            f"{epochs['done']} of {epochs['at_most'] or UNKNOWN}, {facts['steps'] or 0} steps",
        ),
        ("parameters", UNKNOWN if facts["parameters"] is None else f"{facts['parameters']:,}"),
        ("trained by", trained_by(facts)),
        ("on", _devices(facts["sessions"])),
        ("when", _when(facts["training"], len(facts["sessions"]))),
        *_score_lines(facts["scores"]),
    ]
    shown = "\n".join(f"{what:12} {words}" for what, words in lines)
    return f"{shown}\n\nnext         {_next(facts)}"


def in_a_sentence(facts: Mapping[str, Any]) -> str:
    """By what a run was trained, on what and when; empty where nothing was noted."""
    sessions = facts["sessions"]
    if not sessions:
        return ""
    when = _when(facts["training"], len(sessions))
    size = "" if facts["parameters"] is None else f"; {facts['parameters']:,} parameters"
    return f"Trained by {trained_by(facts)}; on {_devices(sessions)}; {when}{size}."


def trained_by(facts: Mapping[str, Any]) -> str:
    """Versions and commits, oldest first, each once."""
    told = [UNKNOWN] if facts["training"]["before_records"] else []
    told += [
        f"avloc {entry['avloc']}, {_commit(entry)}, Python {entry['python']}, "
        f"JAX {entry['jax']}, Flax {entry['flax']}"
        for entry in facts["sessions"]
    ]
    return "; then ".join(dict.fromkeys(told)) or UNKNOWN


# What is in the files.


def _known(read: Callable[[Path], Any], file: Path) -> Any:
    """What a file says; None where it is not there or damaged, which whoever needs it says."""
    try:
        return read(file)
    except (OSError, ValueError):
        return None


def _rows(file: Path) -> list[dict[str, Any]]:
    """The lines of the history that can be read."""
    rows = []
    for line in file.read_text("utf-8", "replace").splitlines() if file.is_file() else ():
        try:
            rows.append(history_row(line))
        except (ValueError, RecursionError):  # broken off, or damaged: training says so
            continue
    return rows


def _title(sessions: Sequence[Mapping], scores: Mapping[str, Any] | None) -> str | None:
    if sessions:
        return sessions[-1]["title"]
    # Without records, as the table of the scores has it: "CSOL after stage two".
    rows = next(iter(scores.values()), {}) if scores else {}
    return next((row.partition(" after ")[0] for row in rows if " after " in row), None)


def _stages(run: Path, sessions: Sequence[Mapping]) -> dict[str, Any]:
    folder = run / "stages"
    there = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
    there = [name for name in there if "orbax-checkpoint-tmp" not in name]  # being written
    if not sessions:
        return {"finished": there, "left": None}
    planned = [phase["stage"] for phase in sessions[-1]["phases"] if phase["stage"]]
    first = [name for name in there if name not in planned]
    return {
        "finished": first + [name for name in planned if name in there],
        "left": [name for name in planned if name not in there],
    }


def _state(stages: Mapping[str, Any], sessions: Sequence[Mapping]) -> str | None:
    if not sessions:
        return None
    if not stages["left"]:
        return "finished"
    return sessions[-1].get("end", "training now, or killed")


def _epochs(rows: Sequence[Mapping], sessions: Sequence[Mapping]) -> dict[str, Any]:
    planned = sum(phase["epochs"] for phase in sessions[-1]["phases"]) if sessions else None
    return {"done": sum(row.get("epoch", 0) > 0 for row in rows), "at_most": planned}


def _parameters(file: Path) -> int | None:
    found = re.search(r"^Total: ([\d,]+)", file.read_text() if file.is_file() else "", re.M)
    return int(found[1].replace(",", "")) if found else None


def _scores(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Split -> row -> metric -> value."""
    try:
        return {
            split: {
                row: {name: value["value"] for name, value in entry["metrics"].items()}
                for row, entry in rows.items()
            }
            for split, rows in metrics.get("splits", {}).items()
            if rows
        } or None
    except (AttributeError, KeyError, TypeError):  # damaged, or of another version
        return None


def _training(rows: Sequence[Mapping], sessions: Sequence[Mapping]) -> dict[str, Any]:
    """When it was trained, and for how long; by the epochs alone where sessions were not noted."""
    timed = [row for row in rows if "time" in row]
    first = sessions[0]["started"] if sessions else None
    early = [row for row in timed if first is None or row["time"] < _seconds(first)]
    last_epoch = _stamp(timed[-1]["time"]) if timed else None
    spans = []
    for entry in sessions:
        seen = entry.get("ended") or entry.get("last_seen") or last_epoch or entry["started"]
        spans.append((entry["started"], max(seen, entry["started"])))
    began = _stamp(early[0]["time"] - early[0].get("seconds", 0)) if early else first
    took = sum(row.get("seconds", 0) for row in early)
    took += sum(_seconds(end) - _seconds(start) for start, end in spans)
    return {
        "started": began,
        "last_seen": spans[-1][1] if spans else last_epoch,
        "seconds": round(took) if began else None,
        "before_records": bool(early) or bool(sessions and sessions[0]["step"]),
    }


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


# In words.


def _place(data: Mapping[str, Any]) -> str:
    gone = " (not there now: name its place by --data-dir)" if data["there"] is False else ""
    sizes = ", ".join(f"{split} {count}" for split, count in (data["items"] or {}).items())
    return f"{data['data_dir'] or UNKNOWN}{gone}" + (f"; items: {sizes}" if sizes else "")


def _stages_text(stages: Mapping[str, Any]) -> str:
    finished = ", ".join(stages["finished"])
    left = UNKNOWN if stages["left"] is None else ", ".join(stages["left"]) or "nothing"
    return f"{finished + ' finished' if finished else 'none finished'}; left: {left}"


def _commit(entry: Mapping[str, Any]) -> str:
    if not entry.get("commit"):
        return "not from a checkout"
    return f"commit {entry['commit'][:12]}{' with changes' if entry.get('changed') else ''}"


def _devices(sessions: Sequence[Mapping]) -> str:
    told = []
    for entry in sessions:
        kinds = ", ".join(f"{n} x {kind}" for kind, n in Counter(entry["devices"]).items())
        processes = entry["processes"]
        told.append(kinds if processes == 1 else f"{kinds} in {processes} processes")
    return "; then ".join(dict.fromkeys(told)) or UNKNOWN


def _when(training: Mapping[str, Any], sessions: int) -> str:
    if training["started"] is None:
        return UNKNOWN
    start, end = (
        training[key][:16].replace("T", " ") if training[key] else UNKNOWN
        for key in ("started", "last_seen")
    )
    minutes, seconds = divmod(training["seconds"], 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "min"), (seconds, "s"))
    took = " ".join(f"{n} {unit}" for n, unit in parts if n) or "0 s"
    return f"{start} to {end} UTC, {took}" + (f" in {sessions} sessions" if sessions > 1 else "")


def _score_lines(scores: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The first row of each split, which is the last stage's, by its first metrics."""
    lines = []
    for split, rows in (scores or {}).items():
        row, metrics = next(iter(rows.items()))
        told = [
            f"{name} {UNKNOWN if value is None else f'{value:.4g}'}"
            for name, value in list(metrics.items())[:_SHOWN]
        ]
        lines.append(("" if lines else "scores", f"{split}: {', '.join(told)} ({row})"))
    return lines or [("scores", "none yet")]


def _next(facts: Mapping[str, Any]) -> str:
    run, stages = facts["run"], facts["stages"]
    if stages["left"] or not stages["finished"]:
        return f"avloc train --workdir {shlex.quote(run)}"
    if facts["scores"] is None:
        return f"avloc evaluate --workdir {shlex.quote(run)}"
    out = shlex.quote(str(Path(run) / "localized"))
    return f"avloc localize --workdir {shlex.quote(run)} --video VIDEO.mp4 --out {out}"
