"""VGGSound-Duet: pairs of VGG-SS's clips, both heard (AVGN; Mo and Tian, CVPR 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.corner_lists import Duet, read_duets
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.builders.vggss import vggss_dataset_builder as vggss
from avloc.data_pipelines.collection import Collection, Folder, Recording
from avloc.data_pipelines.scenes.mixing import Clip, compose, scene_example

AUTHORS = "github.com/stoneMo/AVGN"
PAIRS = "vggsound_duet_test.csv"
SIZE = (256, 512)
"""Height and width of a duet's picture, in pixels."""


def collection(folder: Folder) -> Collection:
    """The boxed clips of VGG-SS that are part of a pair; clips without a box are in no pair."""
    path = folder.annotation(PAIRS, of=AUTHORS)
    single = vggss.collection(folder)
    clips = {recording.moments[0].name: recording for recording in single.splits["test"]}
    boxed = {name for name, recording in clips.items() if recording.moments[0].objects}
    duets = _pairs(path)
    used = {file for duet in duets for file in duet.files}
    whole = [duet for duet in duets if boxed.issuperset(duet.files)]
    there = sum(all(clips[file].path for file in duet.files) for duet in whole)
    notes = [f"{there} of {len(duets)} duets have both of their clips in the folder"]
    if out := len(duets) - len(whole):
        notes.append(f"{out} duets left out: vggss.json has no box for one of their clips")
    return Collection(
        classes=single.classes,
        splits={"test": tuple(clips[name] for name in clips if name in used & boxed)},
        notes=tuple(notes),
        annotations=(path, *single.annotations),
    )


def _pairs(path: Path) -> list[Duet]:
    """The duets of the list, without repeats."""
    return list({duet.files: duet for duet in read_duets(path)}.values())


class Builder(RecordingsBuilder):
    """VGGSound-Duet: the middle frames of two clips of VGG-SS side by side, both heard.

    The published code shows its network the two frames one after the other, with the sum of both
    sounds; here they are one picture, left and right, so that a source can be searched for in both.
    """

    VERSION = tfds.core.Version("1.1.0")
    collection = staticmethod(collection)

    def _examples(self, recordings: Sequence[Recording]) -> Iterator[tuple[str, dict]]:
        here = {r.moments[0].name: r for r in recordings if r.path}
        files = self.builder_config.collection.annotations
        for duet in _pairs(next(path for path in files if path.name == PAIRS)):
            clips = [self._clip(here[file]) for file in duet.files if file in here]
            if len(clips) == 2 and all(clips):
                example = _example(duet, clips, [here[file].id for file in duet.files])
                most = max(self.info.metadata["max_objects"], len(example["objects"]))
                self.info.metadata["max_objects"] = most
                yield example["id"], example

    def _clip(self, recording: Recording) -> Clip | None:
        """The clip of a recording; None if it could not be decoded."""
        stored = self._store.load(recording)
        if not stored.clips:
            return None
        objects = recording.moments[0].objects
        return Clip(
            frame=stored.frame(0),
            waveform=stored.waveform(0),
            boxes=np.array([o.box for o in objects]),
            labels=np.array([o.label for o in objects]),
        )


def _example(duet: Duet, clips: Sequence[Clip], ids: Sequence[str]) -> dict:
    scene = compose(clips, np.array([True, True]), np.zeros(2), (1, 2), SIZE)
    return scene_example(scene, "+".join(duet.files), ids[0])
