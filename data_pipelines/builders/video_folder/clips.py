"""The clips of a split of a folder of videos, with what is annotated in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int

from avloc.data_pipelines.annotations.seconds import Boxed, Seconds
from avloc.data_pipelines.builders.decoding import StoredClips
from avloc.data_pipelines.builders.video_folder.folder import Video
from avloc.data_pipelines.collection import Object
from avloc.data_pipelines.records.features import clip_example
from avloc.data_pipelines.scenes import mixing


class Clips(NamedTuple):
    """The clips of a split: index i is second `seconds[i]` of video `videos[i]`.

    Attributes:
      names: of the videos.
      stored: their decoded clips.
      videos: number of each clip's video.
      seconds: of each clip in its video.
      objects: what is annotated in each clip; else one object of the video's class without a place.
    """

    names: list[str]
    stored: list[StoredClips]
    videos: Int[np.ndarray, " N"]
    seconds: Int[np.ndarray, " N"]
    objects: list[tuple[Object, ...]]

    @classmethod
    def of(
        cls,
        videos: Sequence[Video],
        stored: dict[Video, StoredClips],
        classes: Sequence[str],
        boxes: Seconds,
        *,
        silent: bool = False,
    ) -> Clips:
        """The clips of some videos of a folder with these classes and annotated boxes.

        Args:
          videos: of the split.
          stored: what was decoded of each.
          classes: of the folder.
          boxes: that are annotated in it.
          silent: whether seconds that have boxes are among them though nothing can be heard.
        """
        files = [stored[video] for video in videos]
        if silent:
            files = [
                file.with_silent(s for s in file.silent if (video.name, s) in boxes)
                for video, file in zip(videos, files, strict=True)
            ]
        own = [-1 if v.category is None else classes.index(v.category) for v in videos]
        numbers = np.repeat(np.arange(len(files)), [len(file.clips) for file in files])
        seconds = np.concatenate([file.clips for file in files])
        return cls(
            names=[video.name for video in videos],
            stored=files,
            videos=numbers,
            seconds=seconds,
            objects=[
                _objects(boxes.get((videos[number].name, int(second)), ()), own[number], classes)
                for number, second in zip(numbers, seconds, strict=True)
            ],
        )

    def labels(self) -> Int[np.ndarray, " N"]:
        """The class of each clip in which only that class is seen, and is heard; else -1."""
        return np.array([_only_label(objects) for objects in self.objects])

    def boxed(self) -> Bool[np.ndarray, " N"]:
        """Whether the positions of the clip's objects are known."""
        return np.array([objects[0].box is not None for objects in self.objects])

    def examples(self) -> Iterator[tuple[str, dict]]:
        """Every clip as a record."""
        for number, second, objects in zip(self.videos, self.seconds, self.objects, strict=True):
            name = f"{self.names[number]}@{second}"
            example = clip_example(
                id=name,
                video=self.names[number],
                second=int(second),
                frames=(),
                waveform=self.stored[number].waveform(second),
                boxes=_boxes(objects),
                labels=np.array([found.label for found in objects]),
                sounding=np.array([found.sounding for found in objects]),
            )
            yield name, example | {"frames": self.stored[number].frames(second)}

    def decoded(self, place: int, *, boxed: bool) -> mixing.Clip:
        """A clip to make scenes of; unless `boxed`, it has one object without a place."""
        number, second = self.videos[place], self.seconds[place]
        label = self.objects[place][0].label
        objects = self.objects[place] if boxed else (Object(None, label),)
        return mixing.Clip(
            frame=self.stored[number].frame(second),
            waveform=self.stored[number].waveform(second),
            boxes=_boxes(objects),
            labels=np.array([found.label for found in objects]),
        )


def _objects(boxes: Sequence[Boxed], label: int, classes: Sequence[str]) -> tuple[Object, ...]:
    """The objects of a clip of a video of that label, those of this label first."""
    made = [
        Object(
            found.box,
            classes.index(found.category) if found.category in classes else label,
            found.sounding,
        )
        for found in boxes
    ]
    return tuple(sorted(made, key=lambda found: found.label != label)) or (Object(None, label),)


def _only_label(objects: Sequence[Object]) -> int:
    labels = {found.label for found in objects}
    return labels.pop() if len(labels) == 1 and all(found.sounding for found in objects) else -1


def _boxes(objects: Sequence[Object]) -> Float32[np.ndarray, "M 4"]:
    return np.array([found.box or (0.0, 0.0, 0.0, 0.0) for found in objects], np.float32)
