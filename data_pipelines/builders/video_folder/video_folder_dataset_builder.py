"""`video_folder`: a folder of your own videos as a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.seconds import Seconds, read_seconds
from avloc.data_pipelines.builders.accounts import of_sound, told
from avloc.data_pipelines.builders.decoding import ClipStore, StoredClips, listed, store_of
from avloc.data_pipelines.builders.placed import Placed
from avloc.data_pipelines.builders.video_folder.clips import Clips
from avloc.data_pipelines.builders.video_folder.folder import (
    Video,
    class_names,
    find_annotations,
    find_videos,
    folder_fingerprint,
    folder_slug,
    scene_note,
    split_videos,
)
from avloc.data_pipelines.builders.video_folder.plan import planned
from avloc.data_pipelines.collection import Collection, Recording
from avloc.data_pipelines.media.video import QUARTERS
from avloc.data_pipelines.records.features import clip_features
from avloc.data_pipelines.scenes import mixing
from avloc.data_pipelines.scenes.few_kinds import plan_mixed

MAX_SCENES = {"train": 25_000, "test": 500}
"""A cocktail split has as many scenes as its solo split has clips, and at most these (CSOL 4.1)."""


SCENE_SIDE = 448
"""Shorter side of a scene, in pixels, if its clips are that fine."""


@dataclass(kw_only=True)
class VideoFolderConfig(tfds.core.BuilderConfig):
    """Where the videos are.

    Attributes:
      source: the folder: `CLASS/*.mp4`, or `*.mp4` without classes, or either of these in each of
        the folders `train`, `test` and perhaps `validation`; and perhaps `annotations.json`.
      seed: of the splits and scenes.
      workers: processes that decode; 0: only this one.
    """

    source: str
    seed: int = 0
    workers: int = 2

    def fingerprint(self) -> str:
        """Changes whenever a video or a file of boxes is added, removed or changed."""
        videos = find_videos(self.source)
        return folder_fingerprint(videos, find_annotations(self.source, videos))

    @property
    def collection(self) -> Collection:
        """What a build would make of the folder."""
        return planned(self.source, self.seed)


class Builder(Placed, tfds.core.GeneratorBasedBuilder):
    """One-second clips of a folder of videos, and cocktail-party scenes made from them.

    Splits are by video: no video is in two of them, except that `cocktail_train` is made from
    `train` and `cocktail_test` from `test`. Names of classes are stored for evaluation and
    display; `cocktail_train` mixes videos and ignores them.

    A solo clip has one object without a position, unless `annotations.json` has boxes for that
    second: these are then its objects, and its middle frame is that of the second's middle. An
    object of a scene has its box, moved to its cell, where test scenes are made of clips with
    boxes; else its cell.
    """

    VERSION = tfds.core.Version("1.3.0")
    collection = staticmethod(planned)

    @classmethod
    def config_of(cls, source: str | Path, name: str | None = None) -> VideoFolderConfig:
        """The configuration of a folder, named after it unless a name is given.

        Raises:
          ValueError: there is no such folder, or no video in it.
        """
        source = Path(source).expanduser().resolve()
        find_videos(source)
        return VideoFolderConfig(name=name or folder_slug(source), source=str(source))

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(),
            metadata=tfds.core.MetadataDict({"boxes": "none", "scene_boxes": {}}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        config = self.builder_config
        videos = find_videos(config.source)
        boxes = read_seconds(self._annotations, class_names(videos))
        recordings = {video: Recording(video.name, path=video.path) for video in videos}
        self._store.fill(recordings.values(), config.workers)
        stored = {video: self._store.load(made) for video, made in recordings.items()}
        good = [video for video in videos if stored[video].clips]
        if not good:
            self._store.discard()
            raise ValueError(
                f"{config.source}: none of its {len(videos)} videos can be used: "
                + listed([(v.name, stored[v].problem) for v in videos])
            )
        names = class_names(good)
        splits, notes = split_videos(good, seed=config.seed)
        solo = {
            split: Clips.of(part, stored, names, boxes, silent=split == "test")
            for split, part in splits.items()
        }
        generators = {split: clips.examples() for split, clips in solo.items()}
        for split, limit in MAX_SCENES.items():
            if split in solo:
                made, boxed, note = _cocktail(solo[split], split, limit, config.seed)
                notes += [note] if note else []
                generators |= {f"cocktail_{split}": made} if made else {}
                if made:
                    kind = "moved" if boxed else "cell"
                    self.info.metadata["scene_boxes"][f"cocktail_{split}"] = kind
        if self._annotations:
            notes.append(self._matched(boxes, solo.values()))
        self._describe(videos, stored, names, notes)
        return generators

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _solo and _cocktail")

    @cached_property
    def _annotations(self) -> list[Path]:
        source = self.builder_config.source
        return find_annotations(source, find_videos(source))

    @cached_property
    def _store(self) -> ClipStore:
        # Boxes are drawn in the middle of a second: its frame becomes the middle one.
        shares = tuple(sorted((*QUARTERS, 0.5))) if self._annotations else QUARTERS
        return store_of(self, shares=shares)

    def _post_download_and_prepare_hook(self) -> None:
        self._store.discard()

    def _matched(self, boxes: Seconds, solo: Iterable[Clips]) -> str:
        """A sentence on the boxes that belong to a clip, and on those that belong to none."""
        clips = {
            (part.names[number], int(second))
            for part in solo
            for number, second in zip(part.videos, part.seconds, strict=True)
        }
        lost = {key: found for key, found in boxes.items() if key not in clips}
        used, left = (sum(map(len, part.values())) for part in (boxes, lost))
        most = max((len(found) for key, found in boxes.items() if key in clips), default=1)
        self.info.metadata.update(
            boxes="annotated" if used > left else "none",
            max_objects=most,
            boxes_used=used - left,
            boxes_unmatched=[f"{video}@{second}" for video, second in lost],
        )
        files = " and ".join(path.name for path in self._annotations)
        told = f"{used - left} boxes from {files} for {len(boxes) - len(lost)} clips"
        if lost:
            names = listed([(f"{video}@{second}", None) for video, second in lost], 3)
            told += f"; {left} match no video and second here and are left out: {names}"
        return told

    def _describe(
        self,
        videos: Sequence[Video],
        stored: dict[Video, StoredClips],
        names: list[str],
        notes: list[str],
    ) -> None:
        """Records what happened to the videos."""
        skipped = [(v.name, stored[v].problem) for v in videos if not stored[v].clips]
        damaged = [
            (v.name, stored[v].problem) for v in videos if stored[v].clips and stored[v].problem
        ]
        used = len(videos) - len(skipped)
        clips = sum(len(video.clips) for video in stored.values())
        summary = f"Built {clips} clips from {used} of {len(videos)} videos"
        summary += f"; skipped: {listed(skipped)}" if skipped else ""
        summary += f"; used up to the damage: {listed(damaged)}" if damaged else ""
        silent, one_channel = (
            [entry for v in videos for entry in told(v.name, getattr(stored[v], what))]
            for what in ("silent", "one_channel")
        )
        summary = "; ".join([summary, *of_sound(silent, one_channel)])
        self.info.metadata.update(
            class_names=names,
            videos=used,
            skipped=[{"file": name, "reason": why} for name, why in skipped],
            damaged=[{"file": name, "reason": why} for name, why in damaged],
            silent=dict(silent),
            one_channel=dict(one_channel),
            notes=notes,
            summary=". ".join([summary, *(f"{note[0].upper()}{note[1:]}" for note in notes)]) + ".",
            source=self.builder_config.source,
            seed=self.builder_config.seed,
            fingerprint=folder_fingerprint(videos, self._annotations),
        )


def _cocktail(
    clips: Clips, split: str, limit: int, seed: int
) -> tuple[Iterator[tuple[str, dict]] | None, bool, str | None]:
    """Scenes of a split, if possible, whether they have true boxes, and a sentence if not usual.

    Scenes for training mix videos and ignore their classes.
    """
    labels, places = clips.labels(), np.arange(len(clips.videos))
    known = split != "train" and bool(np.any(labels >= 0))
    if known:
        places = np.flatnonzero(labels >= 0)
    groups = labels if known else clips.videos
    kinds = len(np.unique(groups[places]))
    note = scene_note(split, kinds, known=known)
    if kinds < 2:
        return None, False, note
    boxed_places = places[clips.boxed()[places]]
    boxed = split != "train" and len(np.unique(groups[boxed_places])) == kinds
    if boxed:
        places = boxed_places
    count = min(limit, len(places))
    plan = plan_mixed(groups[places], clips.videos[places], count, seed=seed)
    plan = plan._replace(clips=places[plan.clips])
    made = mixing.scenes(
        plan,
        partial(clips.decoded, boxed=boxed),
        size=_scene_size,
        prefix=f"cocktail_{split}",
    )
    return ((example["id"], example) for example in made), boxed, note


def _scene_size(clip: mixing.Clip) -> tuple[int, int]:
    """Height and width of a scene: its cells are as fine as clips, up to `SCENE_SIDE`."""
    height, width, _ = clip.frame.shape
    scale = min(2.0, SCENE_SIDE / min(height, width))
    return round(scale * height), round(scale * width)
