"""`music21`: solos of 21 instruments (MUSIC-21; Zhao et al., The Sound of Motions, ICCV 2019)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.music import first_videos, read_videos
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import SOUND_ENDINGS, Collection, Folder, Recording

VIDEOS = "MUSIC21_solo_videos.json"
AUTHORS = "github.com/roudimit/MUSIC_dataset"
TESTED = 5
"""Videos of each category for testing (CSOL 4.1)."""


def collection(folder: Folder) -> Collection:
    """Every video of the list: the first five of each class for testing, the others for training.

    As CSOL divides them (4.1), over the whole list, so that all users have the same splits whatever
    part of the videos they have. There are no boxes. Files are named as for `music`.
    """
    path = folder.annotation(VIDEOS, of=AUTHORS)
    categories = read_videos(path)
    classes = tuple(sorted({name for names in categories.values() for name in names}))
    test, train = first_videos(categories, TESTED)

    def recording(id: str) -> Recording:
        labels = tuple(classes.index(name) for name in categories[id])
        return Recording(id, labels, folder.find(id), folder.find(id, SOUND_ENDINGS))

    return Collection(
        classes=classes,
        splits={"train": tuple(map(recording, train)), "test": tuple(map(recording, test))},
        annotations=(path,),
    )


class Builder(RecordingsBuilder):
    """MUSIC-21: solos of 21 instruments, from YouTube, without boxes.

    The first five videos of each instrument are for testing; many videos are in `music` too.
    """

    VERSION = tfds.core.Version("1.2.0")
    collection = staticmethod(collection)
