"""`music21`: solos of 21 instruments (MUSIC-21; Zhao et al., The Sound of Motions, ICCV 2019)."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.music import read_videos
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.builders.video_folder.folder import Video, split_videos
from avloc.data_pipelines.collection import SOUND_ENDINGS, Collection, Folder, Recording

VIDEOS = "MUSIC21_solo_videos.json"
AUTHORS = "github.com/roudimit/MUSIC_dataset"
SEED = 0
"""Seed of the division into splits."""


def collection(folder: Folder) -> Collection:
    """Every video of the list, divided by class.

    The authors publish neither splits nor boxes: of each class a fifth of the listed videos is for
    testing and a tenth for validation, drawn from `SEED` over the whole list, so that all users
    have the same splits whatever part of the videos they have. Files are named as for `music`.
    """
    path = folder.annotation(VIDEOS, of=AUTHORS)
    categories = read_videos(path)
    classes = tuple(sorted({name for names in categories.values() for name in names}))
    listed = [Video(Path(id), id, names[0]) for id, names in categories.items()]
    splits, notes = split_videos(sorted(listed, key=lambda video: video.name), seed=SEED)

    def recording(id: str) -> Recording:
        labels = tuple(classes.index(name) for name in categories[id])
        return Recording(id, labels, folder.find(id), folder.find(id, SOUND_ENDINGS))

    return Collection(
        classes=classes,
        splits={split: tuple(recording(v.name) for v in part) for split, part in splits.items()},
        notes=tuple(notes),
        annotations=(path,),
    )


class Builder(RecordingsBuilder):
    """MUSIC-21: solos of 21 instruments, from YouTube, without boxes.

    The splits are this library's own, because none are published; many videos are in `music` too.
    """

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
