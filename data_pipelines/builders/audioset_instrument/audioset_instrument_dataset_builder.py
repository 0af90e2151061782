"""AudioSet-instrument: 15 instruments in ten-second clips of AudioSet (C2F 4.1, CSOL 4.1)."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.audioset import read_categories
from avloc.data_pipelines.builders.audioset_instrument.frames import read_moments, read_tags
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import Collection, Folder, Recording
from avloc.data_pipelines.media.youtube_clips import YouTubeClips
from avloc.data_pipelines.records.splits import apart

AUTHORS = "github.com/DTaoo/Discriminative-Sounding-Objects-Localization (audioset-instrument)"
COCO_NAMES = ("multi_source_coco.json", "normav.json")
COCO_AUTHORS = (
    "github.com/shvdiwnkozbw/Multi-Source-Sound-Localization, where it is utils/normav.json"
)
SPLITS = ("train", "multi_train", "test", "multi_test")


def collection(folder: Folder) -> Collection:
    """Clips of one instrument and of several, for training and testing.

    `train` and `multi_train` are the clips of `unbalanced_train_segments.csv` that are labelled
    with one of the instruments, and with more. `test` and `multi_test` are the boxed frames of
    clips of `balanced_train_segments.csv`, split in the same way; without that file they are
    split by what sounds in the frames. A frame's difficulty level is its number of sounding
    categories.
    """
    names = {path.name: path for path in folder.files}
    boxes = folder.annotation("audioset_box.json", of=AUTHORS)
    coco = next((names[name] for name in COCO_NAMES if name in names), None)
    if coco is None:
        coco = folder.annotation(COCO_NAMES[0], of=COCO_AUTHORS)
    balanced = names.get("balanced_train_segments.csv")
    unbalanced = names.get("unbalanced_train_segments.csv")
    classes = read_categories(coco)
    annotated = read_moments(boxes, coco)
    tags = read_tags(balanced, classes)
    training = read_tags(unbalanced, classes)
    videos = YouTubeClips(folder)
    splits: dict[str, dict[str, Recording]] = {split: {} for split in SPLITS}
    for id, clip in training.items():
        found = videos.find(id, clip.start, clip.length)
        split = splits["train" if len(clip.labels) == 1 else "multi_train"]
        split[id] = found.recording(id, clip.labels)
    for id, moments in annotated.items():
        sounding = {o.label for moment in moments for o in moment.objects if o.sounding}
        labels = tags[id].labels if id in tags else tuple(sorted(sounding))
        known = (tags[id].start, tags[id].length) if id in tags else (None,)
        found = videos.find(id, *known)
        moved = tuple(
            m._replace(start=m.start + found.start, time=m.time + found.start) for m in moments
        )
        split = splits["multi_test" if len(labels) > 1 else "test"]
        split[id] = found.recording(id, labels, moved)
    kept, notes = apart({split: list(part) for split, part in splits.items()})
    if unknown := len(annotated.keys() - tags.keys()):
        notes.append(
            f"balanced_train_segments.csv does not have {unknown} of {len(annotated)} test clips: "
            "these are split by what sounds in them, and their files are taken to be the clips"
        )
    if not training:
        notes.append("no clip of unbalanced_train_segments.csv: there is nothing to train on")
    return Collection(
        classes=classes,
        splits={s: tuple(splits[s][id] for id in ids) for s, ids in kept.items() if ids},
        notes=tuple(notes),
        annotations=tuple(path for path in (boxes, coco, balanced, unbalanced) if path),
    )


class Builder(RecordingsBuilder):
    """AudioSet-instrument: clips of 15 instruments, alone and together, with boxes for testing."""

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)
