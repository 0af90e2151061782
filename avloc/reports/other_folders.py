"""What a folder is that a user took for a run, and what to type for it; without JAX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avloc.json_files import parse_json, read_json
from avloc.runs.recorded import read_config, restorable

_DATA_SET = "dataset_info.json"


def require_run(path: Path) -> dict[str, Any]:
    """The config of the run that lies there, as its file has it.

    Raises:
      ValueError: there is none; the sentence says what the folder is, and what to type.
    """
    file = path / "config.json"
    if not file.is_file():
        raise ValueError(next(_what_it_is(path)))
    with restorable(file, "restore it, or train again in a new workdir"):
        config = read_json(file, dict)
    data = config.get("data")
    names = config.get("method"), data.get("name") if isinstance(data, dict) else None
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{file} is no config of avloc (it lacks method or data.name): name the folder of a "
            "run, the --workdir of `avloc train`"
        )
    return read_config(file)


def _what_it_is(path: Path) -> Iterator[str]:
    """What fits, the likeliest first; the last one always does."""
    if not path.exists():
        yield f"{path}: no such folder; name the folder of a run, the --workdir of `avloc train`"
    run = next((up for up in path.parents if _is_run(up)), None)
    if run:
        yield f"{path} lies inside a run: type `avloc info {run}`"
    if not path.is_dir():
        yield f"{path} is a file: name the folder of a run, the --workdir of `avloc train`"
    if _json(path / "model.json").get("format") == "avloc export":
        yield (
            f"{path} is an exported model, not a run: read {path / 'README.md'}, or name the run "
            "that it was made of"
        )
    if (path / "weights.json").is_file() and (path / "weights").is_dir():
        yield (
            f"{path} holds imported weights, not a run: train with them by "
            f"`avloc train --config FILE --workdir W --config.init_from={path}`"
        )
    if (path / _DATA_SET).is_file():
        yield _data_set(path)
    inside = sorted(p.parent for p in path.glob("*/" + _DATA_SET)) or sorted(
        p.parent for p in path.glob("*/*/" + _DATA_SET)
    )
    if inside:
        yield _data_set(inside[-1])
    if any(path.glob("*/*/*/" + _DATA_SET)):
        yield f"{path} holds data sets, not a run: type `avloc data list --data-dir {path}`"
    runs = sorted(p.parent for p in (*path.glob("*/config.json"), *path.glob("*/*/config.json")))
    if runs := [folder for folder in runs if _is_run(folder)]:
        yield f"{path} is no run but holds {len(runs)}: name one, as `avloc info {runs[0]}`"
    yield (
        f"{path} holds no run (no config.json): name the --workdir of `avloc train`, or train one "
        f"with `avloc train --config FILE --workdir {path}`"
    )


def _data_set(path: Path) -> str:
    about = _json(path / _DATA_SET)
    parts = [part for part in (about.get("name"), about.get("configName")) if part]
    name = "/".join(parts)
    root = path.parents[len(parts)]  # behind the version too
    return (
        f"{path} holds the data set {name}, not a run: type "
        f"`avloc data doctor {name} --data-dir {root}`"
    )


def _is_run(folder: Path) -> bool:
    config = _json(folder / "config.json")
    return "method" in config and "data" in config


def _json(file: Path) -> dict[str, Any]:
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
