"""Data sets in the plain layout (`avloc.data_pipelines.annotations.plain`): one test split.

These are the data sets of CSOL's authors, whose own layout is not public.
"""

from __future__ import annotations

from avloc.data_pipelines.annotations.plain import Item, read_plain
from avloc.data_pipelines.collection import Collection, Folder, Moment, Recording

AUTHORS = "the authors of CSOL (github.com/GeWu-Lab/CSOL_TPAMI2021): no download is public"


def collection(folder: Folder) -> Collection:
    """The frames of `annotations.json` in the user's folder, each with a second of its sound."""
    path = folder.annotation("annotations.json", of=AUTHORS)
    classes, items = read_plain(path)

    def recording(item: Item) -> Recording:
        frame, sound = path.parent / item.frame, path.parent / item.sound
        there = frame.is_file() and sound.is_file()
        return Recording(
            item.id,
            path=frame if there else None,
            sound=sound if there else None,
            moments=(Moment(item.id, item.start, 0.0, item.objects),),
        )

    return Collection(
        classes=classes,
        splits={"test": tuple(recording(item) for item in items)},
        annotations=(path,),
    )
