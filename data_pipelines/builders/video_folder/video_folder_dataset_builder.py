"""`video_folder`: a folder of your own videos as a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.decoding import ClipStore, StoredClips, listed, store_of
from avloc.data_pipelines.builders.placed import Placed
from avloc.data_pipelines.builders.video_folder.folder import (
    Video,
    class_names,
    find_videos,
    folder_fingerprint,
    folder_slug,
    split_videos,
)
from avloc.data_pipelines.collection import Recording
from avloc.data_pipelines.records.features import clip_example, clip_features
from avloc.data_pipelines.scenes import mixing
from avloc.data_pipelines.scenes.plan import SYNTHETIC, Recipe, plan_scenes

MAX_SCENES = {"train": 25_000, "test": 500}
"""A cocktail split has as many scenes as its solo split has clips, and at most these (CSOL 4.1)."""

_NO_PLACE = np.zeros((1, 4), np.float32)


@dataclass(kw_only=True)
class VideoFolderConfig(tfds.core.BuilderConfig):
    """Where the videos are.

    Attributes:
      source: the folder: `CLASS/*.mp4`, or `*.mp4` without classes.
      seed: of the splits and scenes.
      workers: processes that decode; 0: only this one.
    """

    source: str
    seed: int = 0
    workers: int = 2

    def fingerprint(self) -> str:
        """Changes whenever a video of the folder is added, removed or changed."""
        return folder_fingerprint(find_videos(self.source))


class _Clips(NamedTuple):
    """The clips of a split: index i is second `seconds[i]` of video `videos[i]`."""

    names: list[str]
    stored: list[StoredClips]
    labels: list[int]
    videos: np.ndarray
    seconds: np.ndarray

    @classmethod
    def of(
        cls, videos: Sequence[Video], stored: dict[Video, StoredClips], classes: Sequence[str]
    ) -> _Clips:
        files = [stored[video] for video in videos]
        return cls(
            names=[video.name for video in videos],
            stored=files,
            labels=[-1 if v.category is None else classes.index(v.category) for v in videos],
            videos=np.repeat(np.arange(len(files)), [len(file.clips) for file in files]),
            seconds=np.concatenate([file.clips for file in files]),
        )

    def decoded(self, place: int) -> mixing.Clip:
        video, second = self.videos[place], self.seconds[place]
        return mixing.Clip(
            frame=self.stored[video].frame(second),
            waveform=self.stored[video].waveform(second),
            boxes=_NO_PLACE,
            labels=np.array([self.labels[video]]),
        )


class Builder(Placed, tfds.core.GeneratorBasedBuilder):
    """One-second clips of a folder of videos, and cocktail-party scenes made from them.

    Splits are by video: no video is in two of them, except that `cocktail_train` is made from
    `train` and `cocktail_test` from `test`. Names of classes are stored for evaluation and
    display; `cocktail_train` mixes videos and ignores them.

    A solo clip has one object without a position. An object of a scene has its cell as box.
    """

    VERSION = tfds.core.Version("1.2.0")

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
            metadata=tfds.core.MetadataDict({"boxes": "none", "scene_boxes": "cell"}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        config = self.builder_config
        videos = find_videos(config.source)
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
        solo = {split: _Clips.of(part, stored, names) for split, part in splits.items()}
        generators = {split: _solo(clips) for split, clips in solo.items()}
        for split, limit in MAX_SCENES.items():
            if split in solo:
                made, note = _cocktail(solo[split], split, limit, config.seed)
                notes += [note] if note else []
                generators |= {f"cocktail_{split}": made} if made else {}
        self._describe(videos, stored, names, notes)
        return generators

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _solo and _cocktail")

    @property
    def _store(self) -> ClipStore:
        return store_of(self)

    def _post_download_and_prepare_hook(self) -> None:
        self._store.discard()

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
        self.info.metadata.update(
            class_names=names,
            videos=used,
            skipped=[{"file": name, "reason": why} for name, why in skipped],
            damaged=[{"file": name, "reason": why} for name, why in damaged],
            notes=notes,
            summary=". ".join([summary, *notes]) + ".",
            source=self.builder_config.source,
            seed=self.builder_config.seed,
            fingerprint=folder_fingerprint(videos),
        )


def _solo(clips: _Clips) -> Iterator[tuple[str, dict]]:
    for video, second in zip(clips.videos, clips.seconds, strict=True):
        name = f"{clips.names[video]}@{second}"
        example = clip_example(
            id=name,
            video=clips.names[video],
            second=int(second),
            frames=(),
            waveform=clips.stored[video].waveform(second),
            boxes=_NO_PLACE,
            labels=np.array([clips.labels[video]]),
            sounding=np.array([True]),
        )
        yield name, example | {"frames": clips.stored[video].frames(second)}


def _cocktail(
    clips: _Clips, split: str, limit: int, seed: int
) -> tuple[Iterator[tuple[str, dict]] | None, str | None]:
    """Scenes of a split, if possible, and a sentence if they are not the usual ones.

    Four clips in a 2x2 grid, two sounding; where only two or three clips differ, two side by
    side, one sounding. Scenes for training mix videos and ignore their classes.
    """
    labels = np.asarray(clips.labels)[clips.videos]
    known = split != "train" and bool(np.any(labels >= 0))
    kinds = len(np.unique(labels[labels >= 0] if known else clips.videos))
    unit = "classes" if known else "videos"
    what = f"number of {unit} in {split}: {kinds}"
    if kinds < 2:
        return None, f"no cocktail_{split} split: scenes mix at least two {unit} ({what})"
    recipe = SYNTHETIC if kinds >= 4 else Recipe(1, 1, grid=(1, 2))
    plan = plan_scenes(
        labels if known else None,
        clips.videos,
        min(limit, len(clips.videos)),
        recipe,
        seed=seed,
    )
    made = mixing.scenes(plan, clips.decoded, prefix=f"cocktail_{split}")
    note = f"scenes of cocktail_{split} show two clips, one sounding ({what})"
    return ((example["id"], example) for example in made), note if kinds < 4 else None
