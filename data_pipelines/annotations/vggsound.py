"""VGGSound: its public list of clips; the papers' own lists are read by `music.read_pairs`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from avloc.data_pipelines.annotations.reading import as_number, cells, read_lines


class Clip(NamedTuple):
    """Ten seconds of a YouTube video.

    Attributes:
      start: in seconds of that video.
      label: name of its one category.
      split: `train` or `test`, of VGGSound itself.
    """

    start: float
    label: str
    split: str


def read_clips(path: Path) -> dict[str, Clip]:
    """The clip of each YouTube id of `vggsound.csv`: rows `id,start,"label",split`, no header.

    Nearly every id has one clip. Of several the first is taken, because the papers' lists name
    clips by id only and do not say which is meant.
    """
    clips: dict[str, Clip] = {}
    for place, line in read_lines(path):
        row = cells(line, place)
        if len(row) != 4 or row[3] not in ("train", "test"):
            raise ValueError(f'{place}: must be id,start,"label",train or test, not {line!r}')
        member, start, label, split = row
        clips.setdefault(member, Clip(as_number(start, place), label, split))
    return clips
