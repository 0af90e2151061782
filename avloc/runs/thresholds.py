"""The score from which on a category sounds, as it was chosen for each stage of a run."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from avloc.json_files import parse_json, require_like
from avloc.runs.folder import RunFolder, write_atomically

FILE = "thresholds.json"


@dataclass(frozen=True)
class Sounding:
    """A threshold and where it came from.

    Attributes:
      value: 0 to 1.
      rule: how it was found, as a sentence.
      scenes: number of mixtures that it was chosen on; 0: it was not chosen.
      precision: of the names given in these at the threshold; None if it was not chosen.
      recall: of the same.
    """

    value: float
    rule: str
    scenes: int = 0
    precision: float | None = None
    recall: float | None = None


_NUMBER = float | int
_FORM = {
    **{"value": _NUMBER, "rule": str, "scenes": int},
    **{"precision": _NUMBER | None, "recall": _NUMBER | None},
}


def stored_threshold(run: RunFolder, stage: str) -> Sounding | None:
    """The threshold that was chosen for a stage; None if none was.

    Raises:
      ValueError: the file is damaged.
    """
    file = run.path / FILE
    if not file.is_file():
        return None
    try:
        stages = parse_json(file.read_text())
        require_like(stages, {str: _FORM}, FILE)
        return Sounding(**stages[stage]) if stage in stages else None
    except (ValueError, TypeError):
        raise ValueError(
            f"{file} is damaged: remove it, and choose again with `avloc evaluate --workdir "
            f"{run.path}`"
        ) from None


def store_thresholds(run: RunFolder, stages: dict[str, Sounding]) -> None:
    """Writes the thresholds of stages in place of those that the run had."""
    if not stages and not (run.path / FILE).is_file():
        return
    text = json.dumps({name: asdict(found) for name, found in stages.items()}, indent=2)
    write_atomically(run.path / FILE, text + "\n")
