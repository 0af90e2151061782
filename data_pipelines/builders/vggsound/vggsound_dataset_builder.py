"""VGGSound as CSOL uses it: 98 of its categories, half for stage one, half for scenes."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.corner_lists import read_vggss
from avloc.data_pipelines.annotations.music import read_pairs
from avloc.data_pipelines.annotations.vggsound import read_clips
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.builders.vggss.vggss_dataset_builder import boxed_moment
from avloc.data_pipelines.collection import Collection, Folder, Recording
from avloc.data_pipelines.media.youtube_clips import YouTubeClips
from avloc.data_pipelines.records.splits import apart

AUTHORS = "github.com/GeWu-Lab/CSOL_TPAMI2021"
LISTS = {"train": "trainsolo.txt", "synthesis": "trainsyn.txt", "test": "eval.txt"}
CATEGORIES = 98
"""As in the paper (CSOL 4.1)."""


def collection(folder: Folder) -> Collection:
    """Ten-second clips of the authors' lists.

    The lists name videos by YouTube id, without their categories: those come from VGGSound's own
    `vggsound.csv`, and the set's categories are those that occur among the lists. Boxes of the test
    clips were never published; with `vggss.json` in the folder, test clips that VGG-SS annotates
    have its boxes.
    """
    lists = {split: folder.annotation(name, of=AUTHORS) for split, name in LISTS.items()}
    ids, notes = apart({split: read_pairs(path) for split, path in lists.items()})
    optional = {path.name: path for path in folder.files}
    csv, boxes = optional.get("vggsound.csv"), optional.get("vggss.json")
    known = read_clips(csv) if csv else {}
    boxed = {entry.file: entry for entry in read_vggss(boxes)} if boxes else {}
    videos = YouTubeClips(folder)

    clips = {id: known.get(id) for part in ids.values() for id in part}
    classes = tuple(sorted({clip.label for clip in clips.values() if clip}))

    def recording(id: str, split: str) -> Recording:
        clip = clips[id]
        if clip is None:
            return videos.find(id).recording(id)
        label, found = classes.index(clip.label), videos.find(id, clip.start)
        frame = boxed.get(f"{id}_{clip.start:06.0f}") if split == "test" else None
        moments = (boxed_moment(frame, label, found.start),) if frame else None
        return found.recording(id, (label,), moments)

    splits = {split: tuple(recording(i, split) for i in part) for split, part in ids.items()}
    if not csv:
        notes.append("vggsound.csv is missing: without it, nothing is scored by category")
    elif without := sum(clip is None for clip in clips.values()):
        notes.append(f"{without} ids of the lists are not in vggsound.csv and have no category")
    if csv and len(classes) != CATEGORIES:
        notes.append(f"the lists have {len(classes)} categories; the paper has {CATEGORIES}")
    have = sum(r.moments is not None for r in splits["test"])
    notes.append(f"{have} of {len(ids['test'])} test clips have boxes" + ", VGG-SS'" * bool(have))
    return Collection(
        classes=classes,
        splits=splits,
        notes=tuple(notes),
        annotations=tuple(path for path in (*lists.values(), csv, boxes) if path),
    )


class Builder(RecordingsBuilder):
    """VGGSound, the 98 categories of CSOL: ten-second clips from YouTube, of one category each.

    `train` is for stage one, `synthesis` for scenes.
    """

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
