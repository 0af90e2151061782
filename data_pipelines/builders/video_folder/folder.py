"""What is in a folder of videos, and which video goes to which split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avloc.data_pipelines.collection import VIDEO_ENDINGS, digest, file_state, files_below

_SPLIT_FOLDER = re.compile(r"(?:solo_)?(train|validation|test)")


class Video(NamedTuple):
    """A video of a folder.

    Attributes:
      path: absolute path.
      name: path inside the folder, with `/`.
      category: name of the folder that it is in, None directly below the source folder.
      split: that of its folder, None where the source has no folders of splits.
    """

    path: Path
    name: str
    category: str | None
    split: str | None = None

    def fingerprint(self) -> str:
        """Hash of the file's path, size and modification time."""
        return digest(file_state(self.path))


def folder_fingerprint(videos: Sequence[Video], annotations: Sequence[Path] = ()) -> str:
    """Changes whenever a video or a file of boxes is added, removed or changed."""
    files = [video.fingerprint() for video in videos]
    return digest(" ".join([*files, *(digest(file_state(path)) for path in annotations)]))


def find_annotations(source: str | Path, videos: Sequence[Video]) -> list[Path]:
    """The files of boxes: `annotations.json`, and `FOLDER_annotations.json` of a split's folder."""
    source = Path(source).expanduser().resolve()
    folders = sorted({video.name.partition("/")[0] for video in videos if video.split})
    names = ["annotations.json", *(f"{folder}_annotations.json" for folder in folders)]
    return [source / name for name in names if (source / name).is_file()]


def find_videos(source: str | Path) -> list[Video]:
    """Videos below a folder, in order of name; the first level of folders names the categories.

    Where the first level is `train` and `test` (and perhaps `validation`; each may be called
    `solo_train` and so on), these are the splits, and the next level names the categories. Hidden
    files and folders are skipped.

    Raises:
      ValueError: there is no such folder, no video in it, or a video beside the folders of splits.
    """
    source = Path(source).expanduser().resolve()
    if not source.is_dir():
        raise ValueError(f"{source}: no such folder; --source takes a folder of videos")
    files = {
        path.relative_to(source).as_posix().encode("utf-8", "replace").decode(): path
        for path in files_below(source)
        if path.suffix.lower()[1:] in VIDEO_ENDINGS
    }
    if not files:
        raise ValueError(
            f"{source}: no video in this folder; put videos into it, or into a subfolder per class"
        )
    splits = _splits_of(source, files)
    videos = []
    for name, path in sorted(files.items()):
        top, _, inside = name.partition("/")
        category, deeper, _ = (inside if splits else name).partition("/")
        videos.append(Video(path, name, category if deeper else None, splits.get(top)))
    return videos


def _splits_of(source: Path, names: Iterable[str]) -> dict[str, str]:
    """The split of each folder of the first level; empty if they are not splits."""
    tops = {name: name.partition("/")[0] for name in names if "/" in name}
    splits = {top: found[1] for top in tops.values() if (found := _SPLIT_FOLDER.fullmatch(top))}
    if not {"train", "test"} <= set(splits.values()):
        return {}
    for name in sorted(names):
        if tops.get(name) not in splits:
            raise ValueError(
                f"{source}: its folders {', '.join(sorted(splits))} are taken as the splits, but "
                f"{name} is in none of them: move it into one, or rename these folders"
            )
    return splits


def folder_slug(source: str | Path) -> str:
    """Name of the data set made from a folder: its name in lower case, letters, digits and `_`."""
    name = Path(source).expanduser().resolve().name
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "videos"


def class_names(videos: Sequence[Video]) -> list[str]:
    """Sorted names of the categories; empty where no video is in a folder of its own class."""
    return sorted({video.category for video in videos if video.category is not None})


def split_videos(videos: Sequence[Video], *, seed: int) -> tuple[dict[str, list[Video]], list[str]]:
    """Gives each video to one of `train`, `validation` and `test`, class by class.

    Where the source has folders of splits, these hold; without one for `validation`, it is drawn
    from `train`. Else, of n videos of a class a fifth (at least one, if n > 1) goes to `test`, a
    tenth (at least one, if n > 3) to `validation` and the rest, at least one, to `train`. Videos
    without a class are drawn as one group.

    Returns:
      The videos of each split that has any, and a sentence for each thing left out.
    """
    splits: dict[str, list[Video]] = {"train": [], "validation": [], "test": []}
    given = {video.split for video in videos} - {None}
    notes = []
    groups: dict[str | None, list[Video]] = {}
    for video in videos:
        groups.setdefault(video.category, []).append(video)
    for place, (category, group) in enumerate(sorted(groups.items(), key=lambda g: g[0] or "")):
        order = np.random.default_rng((seed, place)).permutation(len(group))
        group = [group[i] for i in order]
        if given:
            test, validation, rest = (
                [video for video in group if video.split == name]
                for name in ("test", "validation", "train")
            )
            drawn_from = len(rest)
        else:
            count = max(1, round(0.2 * len(group))) if len(group) > 1 else 0
            test, validation, rest = group[:count], [], group[count:]
            drawn_from = len(group)
        if "validation" not in given:
            count = max(1, round(0.1 * drawn_from)) if drawn_from > 3 else 0
            validation, rest = rest[:count], rest[count:]
        for name, part in (("train", rest), ("validation", validation), ("test", test)):
            splits[name] += part
        whole = "the folder" if category is None else f"class {category!r}"
        if not test and given:
            notes.append(f"{whole} has no video in test: it is used for training and never tested")
        elif not test:
            notes.append(f"{whole} has one video: it is used for training and never tested")
        if not rest:
            notes.append(f"{whole} has no video in train: it is tested and never learnt")
    for name in ("validation", "test"):
        if not splits[name]:
            notes.append(f"no {name} split: too few videos")
    return {
        name: sorted(part, key=lambda video: video.name) for name, part in splits.items() if part
    }, notes


def scene_note(split: str, kinds: int, *, known: bool) -> str | None:
    """A sentence on the scenes of a split with so many kinds of clips, if they are not as usual.

    Args:
      split: that the clips are from.
      kinds: number of their classes, or of their videos.
      known: whether kinds are classes.
    """
    unit = "classes" if known else "videos"
    what = f"number of {unit} in {split}: {kinds}"
    if kinds < 2:
        return f"no cocktail_{split} split: scenes mix at least two {unit} ({what})"
    if kinds < 4:
        one = "class" if known else "video"
        return f"scenes of cocktail_{split} show one {one} that is silent more than once ({what})"
    return None
