"""What a build of a folder of videos would give, as far as can be said without decoding it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from avloc.data_pipelines.annotations.seconds import read_seconds
from avloc.data_pipelines.builders.decoding import listed
from avloc.data_pipelines.builders.video_folder.folder import (
    class_names,
    find_annotations,
    find_videos,
    scene_note,
    split_videos,
)
from avloc.data_pipelines.collection import Collection, Recording


def planned(source: str | Path, seed: int, bad: Mapping[Path, str] | None = None) -> Collection:
    """The splits that a build makes, as it makes them: of the videos that can be used.

    Args:
      source: the folder.
      seed: of the splits.
      bad: what is wrong with each file that cannot be used; None: not known yet.

    Raises:
      ValueError: as `find_videos` and `read_seconds`.
    """
    bad = bad or {}
    videos = find_videos(source)
    good = [video for video in videos if video.path not in bad]
    classes = class_names(good)
    splits, notes = split_videos(good, seed=seed)
    annotations = find_annotations(source, videos)
    boxes = read_seconds(annotations, class_names(videos))
    if bad:
        named = [(video.name, bad[video.path]) for video in videos if video.path in bad]
        notes.insert(0, f"{len(bad)} of {len(videos)} videos cannot be used: {listed(named)}")
    for split in ("train", "test"):
        part = splits.get(split, [])
        known = split == "test" and bool(class_names(part))
        kinds = len(class_names(part)) if known else len(part)
        if part and (note := scene_note(split, kinds, known=known)):
            notes.append(note)
    if annotations:
        names = {video.name for video in good}
        lost = sorted({video for video, _ in boxes} - names)
        count = sum(len(found) for (video, _), found in boxes.items() if video in names)
        notes.append(f"{count} boxes in {' and '.join(path.name for path in annotations)}")
        if lost:
            notes[-1] += f"; no usable video is called {listed([(name, None) for name in lost], 3)}"
    return Collection(
        classes=tuple(classes),
        splits={
            split: tuple(
                Recording(
                    video.name,
                    () if video.category is None else (classes.index(video.category),),
                    video.path,
                )
                for video in part
            )
            for split, part in splits.items()
        },
        notes=tuple(notes),
        annotations=tuple(annotations),
        without=lambda bad: planned(source, seed, bad),
    )
