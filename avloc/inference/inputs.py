"""The videos that a user names, as files and folders, and the names of what is made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from avloc.data_pipelines.collection import VIDEO_ENDINGS, files_below

_MADE = ".localized"
"""What the names of videos that we drew end in, before the extension."""


class Input(NamedTuple):
    """A video to localize.

    Attributes:
      path: of the file.
      folder: below that of the output, where its files go; as below the folder that was named.
      name: of its files.
    """

    path: Path
    folder: Path
    name: str


def find_inputs(given: Sequence[str | Path]) -> list[Input]:
    """The videos of files and folders, in order; each has names of its own.

    Folders are searched to the bottom; hidden files, and videos that were drawn here, are left out.
    Videos that differ only in their ending keep it in the name.

    Raises:
      ValueError: no such file or folder, a folder without videos, two videos whose files would
        have one name.
    """
    found: list[tuple[Path, Path]] = []
    for path in map(Path, given):
        if path.is_dir():
            found += [(video, video.parent.relative_to(path)) for video in _videos_in(path)]
        elif path.is_file():
            found.append((path, Path()))
        else:
            raise ValueError(f"{path}: no such file")
    found = list(dict.fromkeys(found))
    stems = Counter((folder, path.stem) for path, folder in found)
    named: dict[tuple[Path, str], Path] = {}
    for path, folder in found:
        name = path.stem if stems[folder, path.stem] == 1 else path.name
        if other := named.get((folder, name)):
            raise ValueError(
                f"{other} and {path} have the same name: localize one of them into another folder"
            )
        named[folder, name] = path
    return [Input(path, folder, name) for (folder, name), path in named.items()]


def _videos_in(folder: Path) -> list[Path]:
    videos = [
        path
        for path in sorted(files_below(folder))
        if path.suffix.lower()[1:] in VIDEO_ENDINGS and not path.stem.endswith(_MADE)
    ]
    if not videos:
        raise ValueError(f"{folder}: no video in this folder")
    return videos
