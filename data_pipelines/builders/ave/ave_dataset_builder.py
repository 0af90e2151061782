"""AVE: 28 audio-visual events in ten-second clips (Tian et al., ECCV 2018)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.corner_lists import read_events
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import Collection, Folder, Recording
from avloc.data_pipelines.media.youtube_clips import YouTubeClips
from avloc.data_pipelines.records.splits import apart

AUTHORS = "github.com/YapengTian/AVE-ECCV18"
LISTS = {"train": "trainSet.txt", "validation": "valSet.txt", "test": "testSet.txt"}


def collection(folder: Folder) -> Collection:
    """The seconds of each event in which it is heard and seen; the others are left out.

    A clip with two events is two recordings. There are no boxes.
    """
    lists = {split: folder.annotation(name, of=AUTHORS) for split, name in LISTS.items()}
    events = {split: read_events(path) for split, path in lists.items()}
    names = folder.annotation("Annotations.txt", of=AUTHORS)
    classes = tuple(sorted({event.label for event in read_events(names)}))
    for split, part in events.items():
        for event in part:
            if event.label not in classes:
                raise ValueError(
                    f"{lists[split]}: {event.id} is of {event.label!r}, which {names.name} lacks: "
                    "get both files again from one place"
                )
    videos = YouTubeClips(folder)
    ids, notes = apart({split: [event.id for event in part] for split, part in events.items()})
    files = {event.id: videos.find(event.id) for part in events.values() for event in part}
    splits = {}
    for split, part in events.items():
        whole = [event for event in part if event.end - event.start >= 1]
        if short := len(part) - len(whole):
            notes.append(f"events of {split} shorter than a second, left out: {short}")
        kept = set(ids[split])
        splits[split] = tuple(
            Recording(
                event.id,
                (classes.index(event.label),),
                files[event.id].path,
                start=event.start,
                length=event.end - event.start,
                part=files[event.id].part,
            )
            for event in whole
            if event.id in kept
        )
    return Collection(
        classes=classes,
        splits=splits,
        notes=tuple(notes),
        annotations=(*lists.values(), names),
    )


class Builder(RecordingsBuilder):
    """AVE: events of 28 categories that are both heard and seen, without boxes."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
