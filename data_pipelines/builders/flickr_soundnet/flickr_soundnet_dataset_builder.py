"""Flickr-SoundNet: pictures with five seconds of sound, boxed by several annotators."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.reading import read_lines
from avloc.data_pipelines.annotations.votes import read_votes
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import (
    IMAGE_ENDINGS,
    SOUND_ENDINGS,
    Collection,
    Folder,
    Moment,
    Object,
    Recording,
)

AUTHORS = "github.com/ardasnck/learning_to_localize_sound_source"
CLIP_SECONDS = 5


def collection(folder: Folder) -> Collection:
    """Pairs of `test_list.txt` for testing; every other pair of the folder for training.

    A pair is a picture and a sound of the same name; its votes are an XML file of that name
    (Senocak et al., CVPR 2018). Each annotator's box is an object. The sound is the first five
    seconds (C2F 4.1). There are no categories.
    """
    path = folder.annotation("test_list.txt", of=AUTHORS)
    test = list(dict.fromkeys(line.split(".")[0] for _, line in read_lines(path)))
    pictures = {p.stem for p in folder.files if p.suffix.lower()[1:] in IMAGE_ENDINGS}
    votes = {p.stem: p for p in folder.files if p.suffix.lower() == ".xml"}
    train = sorted((pictures | set(votes)) - set(test))

    def recording(id: str) -> Recording:
        picture, sound = folder.find(id, IMAGE_ENDINGS), folder.find(id, SOUND_ENDINGS)
        there = picture is not None and sound is not None
        moments = None
        if id in votes:
            objects = tuple(Object(box, -1) for box in read_votes(votes[id]))
            moments = (Moment(id, 0.0, 0.0, objects),)
        return Recording(
            id,
            path=picture if there else None,
            sound=sound if there else None,
            length=float(CLIP_SECONDS),
            moments=moments,
        )

    notes = []
    if unseen := [id for id in test if id not in votes]:
        notes.append(f"{len(unseen)} of {len(test)} test pairs have no XML file: not scored")
    return Collection(
        classes=(),
        splits={"train": tuple(map(recording, train)), "test": tuple(map(recording, test))},
        clip_seconds=CLIP_SECONDS,
        notes=tuple(notes),
        annotations=(path, *(votes[id] for id in sorted(votes))),
    )


class Builder(RecordingsBuilder):
    """Flickr-SoundNet: pictures with five seconds of sound, boxed by several annotators each."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
