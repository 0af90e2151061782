"""VGG-SS: the boxed middle frames of VGGSound's test clips (Chen et al., CVPR 2021)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.corner_lists import BoxedFrame, read_vggss
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import Collection, Folder, Moment, Object
from avloc.data_pipelines.media.youtube_clips import YouTubeClips

AUTHORS = "github.com/hche11/Localizing-Visual-Sounds-the-Hard-Way"
MIDDLE = 5.0
"""The annotated frame, in seconds from the start of the ten-second clip."""


def collection(folder: Folder) -> Collection:
    """The middle frames of the clips of `vggss.json`, each with the second of sound around it.

    Published codes hear 3, 5 or 10 seconds around the same frame.
    """
    path = folder.annotation("vggss.json", of=AUTHORS)
    clips = read_vggss(path)
    classes = tuple(sorted({clip.label for clip in clips}))
    videos = YouTubeClips(folder)
    recordings = []
    for clip in clips:
        label, found = classes.index(clip.label), videos.find(clip.file[:11], float(clip.file[12:]))
        moment = boxed_moment(clip, label, found.start)
        recordings.append(found.recording(clip.file[:11], (label,), (moment,)))
    return Collection(classes, {"test": tuple(recordings)}, annotations=(path,))


def boxed_moment(clip: BoxedFrame, label: int, start: float) -> Moment:
    """The middle frame of a clip that begins `start` seconds into its file."""
    objects = tuple(Object(box, label) for box in clip.boxes)
    return Moment(clip.file, start + MIDDLE - 0.5, start + MIDDLE, objects)


class Builder(RecordingsBuilder):
    """VGG-SS: the boxed middle frames of about 5,000 test clips of VGGSound, for testing."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
