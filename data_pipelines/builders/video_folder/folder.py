"""What is in a folder of videos, and which video goes to which split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avloc.data_pipelines.collection import VIDEO_ENDINGS, digest, file_state, files_below


class Video(NamedTuple):
    """A video of a folder.

    Attributes:
      path: absolute path.
      name: path inside the folder, with `/`.
      category: name of the folder that it is in, None directly below the source folder.
    """

    path: Path
    name: str
    category: str | None

    def fingerprint(self) -> str:
        """Hash of the file's path, size and modification time."""
        return digest(file_state(self.path))


def folder_fingerprint(videos: Sequence[Video]) -> str:
    """Changes whenever a video is added, removed or changed."""
    return digest(" ".join(video.fingerprint() for video in videos))


def find_videos(source: str | Path) -> list[Video]:
    """Videos below a folder, in order of name; the first level of folders names the categories.

    Hidden files and folders are skipped.

    Raises:
      ValueError: there is no such folder, or no video in it.
    """
    source = Path(source).expanduser().resolve()
    if not source.is_dir():
        raise ValueError(f"{source}: no such folder; --source takes a folder of videos")
    videos = []
    for path in files_below(source):
        if path.suffix.lower()[1:] in VIDEO_ENDINGS:
            name = path.relative_to(source).as_posix().encode("utf-8", "replace").decode()
            category, inside, _ = name.partition("/")
            videos.append(Video(path, name, category if inside else None))
    if not videos:
        raise ValueError(
            f"{source}: no video in this folder; put videos into it, or into a subfolder per class"
        )
    return sorted(videos, key=lambda video: video.name)


def folder_slug(source: str | Path) -> str:
    """Name of the data set made from a folder: its name in lower case, letters, digits and `_`."""
    name = Path(source).expanduser().resolve().name
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "videos"


def class_names(videos: Sequence[Video]) -> list[str]:
    """Sorted names of the categories; empty where no video is in a folder of its own class."""
    return sorted({video.category for video in videos if video.category is not None})


def split_videos(videos: Sequence[Video], *, seed: int) -> tuple[dict[str, list[Video]], list[str]]:
    """Gives each video to one of `train`, `validation` and `test`, class by class.

    Of n videos of a class a fifth (at least one, if n > 1) goes to `test`, a tenth (at least one,
    if n > 3) to `validation` and the rest, at least one, to `train`. Videos without a class are
    drawn as one group.

    Returns:
      The videos of each split that has any, and a sentence for each thing left out.
    """
    splits: dict[str, list[Video]] = {"train": [], "validation": [], "test": []}
    notes = []
    groups: dict[str | None, list[Video]] = {}
    for video in videos:
        groups.setdefault(video.category, []).append(video)
    for place, (category, group) in enumerate(sorted(groups.items(), key=lambda g: g[0] or "")):
        order = np.random.default_rng((seed, place)).permutation(len(group))
        group = [group[i] for i in order]
        test = max(1, round(0.2 * len(group))) if len(group) > 1 else 0
        validation = max(1, round(0.1 * len(group))) if len(group) > 3 else 0
        splits["test"] += group[:test]
        splits["validation"] += group[test : test + validation]
        splits["train"] += group[test + validation :]
        if not test:
            whole = "the folder" if category is None else f"class {category!r}"
            notes.append(f"{whole} has one video: it is used for training and never tested")
    for name in ("validation", "test"):
        if not splits[name]:
            notes.append(f"no {name} split: too few videos")
    return {
        name: sorted(part, key=lambda video: video.name) for name, part in splits.items() if part
    }, notes
