"""Class scores of clips from a file, for training by the pseudo labels of any tagger (C2F 4.3)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from avloc.data_pipelines.loader import video_number
from avloc.json_files import parse_json, read_text


def softened(
    scores: Float[np.ndarray, "N K"], threshold: float, floor: float
) -> Float[np.ndarray, "N K"]:
    """`y > threshold` becomes `floor + (1 - floor) y`; lower scores stay as they are.

    With 0.3 and 0.6 the published code's rule: a tag that is likely is nearly certain.
    """
    return np.where(scores > threshold, floor + (1 - floor) * scores, scores).astype(np.float32)


def read_scores(file: Path, classes: int) -> dict[int, Float[np.ndarray, " K"]]:
    """Scores of each video, by its number.

    Args:
      file: `.json`: an object of video id to a list of scores, or to an object of class to score
        (its classes in the order of the first video). `.csv`: a header, then a row for each video:
        its id and a score for each class.
      classes: how many there must be, `config.clusters`.

    Raises:
      ValueError: no such file, or a row that is not what it should be; the sentence names it.
    """
    if not file.is_file():
        raise ValueError(f"config.labels.file: there is no file {str(file)!r}")
    rows = _json(file) if file.suffix == ".json" else _csv(file)
    if not rows:
        raise ValueError(f"config.labels.file: {file} has no video")
    found = {}
    for name, values in rows.items():
        try:
            scores = np.asarray(values, np.float32)
        except (TypeError, ValueError):
            scores = np.full(1, np.nan)
        if scores.shape != (classes,):
            raise ValueError(
                f"config.labels.file: {file} has {scores.size} scores for {name!r}, and "
                f"config.clusters is {classes}: set one by the other"
            )
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError(
                f"config.labels.file: {file} has scores for {name!r} that are not from 0 to 1"
            )
        found[video_number(name)] = scores
    return found


def rows_of(
    videos: Int[np.ndarray, " N"], scores: Mapping[int, np.ndarray], split: str, file: Path
) -> Float[np.ndarray, "N K"]:
    """The scores of each clip of a split, by its video.

    Raises:
      ValueError: the file lacks videos of the split.
    """
    absent = {int(v) for v in videos} - scores.keys()
    if absent:
        raise ValueError(
            f"config.labels.file: {file} lacks {len(absent)} of {len({*videos.tolist()})} videos "
            f"of split {split}: give each its scores, under the id that the data set has"
        )
    return np.stack([scores[int(v)] for v in videos])


def _json(file: Path) -> Mapping[str, object]:
    try:
        rows = parse_json(read_text(file))
    except ValueError as error:
        raise ValueError(f"config.labels.file: {file} is not JSON: {error}") from None
    if not isinstance(rows, dict):
        raise ValueError(f"config.labels.file: {file} is no object of video id to scores")
    named = [row for row in rows.values() if isinstance(row, dict)]
    order = list(named[0]) if named else []
    return {
        name: [row.get(key) for key in order] if isinstance(row, dict) else row
        for name, row in rows.items()
    }


def _csv(file: Path) -> Mapping[str, object]:
    rows = list(csv.reader(io.StringIO(read_text(file), newline="")))
    return {row[0]: row[1:] for row in rows[1:] if row}
