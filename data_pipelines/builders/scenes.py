"""Cocktail-party scenes made from a built data set of single sources; each set declares which."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Int

from avloc.data_pipelines.builders.placed import Placed
from avloc.data_pipelines.records.features import clip_features
from avloc.data_pipelines.records.reading import Records, some_fields
from avloc.data_pipelines.scenes import mixing
from avloc.data_pipelines.scenes.plan import RECIPES, ScenePlan, SceneSplit, plan_scenes
from avloc.progress import track

CELL_SIZE = 128
"""Side of a cell in pixels: two rows of them are as high as a stored frame of a clip."""


@dataclass(kw_only=True)
class ScenesConfig(tfds.core.BuilderConfig):
    """What the scenes are made from.

    Attributes:
      base: folder of the built data set of single sources; empty: none.
      source: the user's folder, where scenes are read and not made; else the name of the base.
      mark: identifies the content of the base or the folder; differs once that has changed.
      seed: of the scenes.
    """

    base: str = ""
    source: str = ""
    mark: str = ""
    seed: int = 0

    def fingerprint(self) -> str:
        """Changes whenever what the scenes are made from does."""
        return self.mark


def mark_of(*facts: object) -> str:
    """A short hash of JSON content."""
    return hashlib.sha256(json.dumps(facts).encode("utf-8")).hexdigest()[:24]


class SoloClips:
    """The clips of a split of a built data set, by index; one is in memory at a time.

    Args:
      built: a data set in the layout of `features.clip_features`.
      split: one of its splits.

    Attributes:
      labels: category of each clip, -1 where not known; all -1 where the set has no categories.
      videos: number of each clip's video.
      usable: whether all of its objects are heard, in the picture, and of one category.
      placed: whether the position of every object is known.
    """

    labels: Int[np.ndarray, " N"]
    videos: Int[np.ndarray, " N"]
    usable: Bool[np.ndarray, " N"]
    placed: Bool[np.ndarray, " N"]

    def __init__(self, built: tfds.core.DatasetBuilder, split: str) -> None:
        self._records = Records(built, split)
        known = some_fields(built, split, "video", "objects")
        facts = [_facts(record) for record in track(known, f"reading {split}", len(self), "record")]
        videos, labels, usable, placed = zip(*facts, strict=True)
        self.labels, self.usable, self.placed = map(np.asarray, (labels, usable, placed))
        self.videos = np.unique(np.asarray(videos), return_inverse=True)[1]

    def __len__(self) -> int:
        return len(self._records)

    def boxed(self) -> Int[np.ndarray, " K"]:
        """The categories of clips whose every object has a box."""
        return np.unique(self.labels[self.placed & (self.labels >= 0)])

    def clip(self, place: int, rng: np.random.Generator | None = None) -> mixing.Clip:
        """The clip, with its middle frame, or a random one."""
        record = self._records[place]
        frames, objects = record["frames"], record["objects"]
        return mixing.Clip(
            frame=frames[len(frames) // 2 if rng is None else rng.integers(len(frames))],
            waveform=record["waveform"],
            boxes=np.reshape(objects["bbox"], (-1, 4)),
            labels=np.asarray(objects["label"]),
        )


def _facts(record: dict) -> tuple[bytes, int, bool, bool]:
    """Video, label, and whether a clip is usable and placed."""
    objects = record["objects"]
    labels = set(map(int, objects["label"]))
    heard = len(labels) == 1 and all(objects["sounding"]) and not any(objects["offscreen"])
    placed = all(np.any(box) for box in objects["bbox"])
    return record["video"], labels.pop() if heard else -1, heard, heard and placed


class ScenesBuilder(Placed, tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Makes scenes of a built data set's single-source clips; a subclass declares `SCENES`.

    Scenes are balanced over categories and drawn from one seed (`scene_plan`). A clip gives the
    frame in its middle, or a random one where the split says so. A split has as many scenes as
    declared, or as there are clips to make them from, whichever is less. An object without a known
    position gets its cell as box; the metadata entry `scene_boxes` says so for each split.
    """

    SCENES: ClassVar[Mapping[str, SceneSplit]]

    @classmethod
    def config_from(cls, built: tfds.core.DatasetBuilder, name: str | None = None) -> ScenesConfig:
        """The configuration that makes scenes from an opened data set.

        Args:
          built: it has the splits that `SCENES` names.
          name: of the configuration.
        """
        info = built.info
        sizes = {split: part.num_examples for split, part in info.splits.items()}
        return ScenesConfig(
            name=name or "default",
            base=str(built.data_path),
            source=f"{info.name}/{info.config_name}",
            mark=mark_of(info.full_name, info.metadata.get("fingerprint"), sizes),
        )

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(),
            metadata=tfds.core.MetadataDict({"seed": self.builder_config.seed}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        config = self.builder_config
        base = tfds.builder_from_directory(config.base)
        solos: dict[str, SoloClips] = {}
        generators, boxes, notes = {}, {}, []
        for split, wanted in self.SCENES.items():
            if wanted.source not in base.info.splits:
                notes.append(f"no {split}: {config.source} has no split {wanted.source}")
                continue
            for name in {wanted.source, wanted.boxed_in} & set(base.info.splits) - set(solos):
                solos[name] = SoloClips(base, name)
            clips = solos[wanted.source]
            kinds = solos[wanted.boxed_in].boxed() if wanted.boxed_in in solos else None
            try:
                plan, placed, note = _planned(clips, wanted, config.seed, kinds)
            except ValueError as fault:
                notes.append(f"no {split}: {fault}")
                continue
            boxes[split] = "moved" if placed else "cell"
            notes += [f"{split}: {note}"] if note else []
            generators[split] = self._scenes(clips, plan, split)
        if not generators:
            raise ValueError(f"no scene can be made from {config.source}: {'; '.join(notes)}")
        self.info.metadata.update(
            class_names=list(base.info.metadata.get("class_names", ())),
            made_from=config.source,
            recipes={split: self.SCENES[split].describe() for split in generators},
            scene_boxes=boxes,
            notes=notes,
            summary="\n".join(f"{line}." for line in (f"Made from {config.source}", *notes)),
            fingerprint=config.fingerprint(),
            max_objects=0,
        )
        return generators

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _scenes")

    def _scenes(self, clips: SoloClips, plan: ScenePlan, split: str) -> Iterator[tuple[str, dict]]:
        size = tuple(CELL_SIZE * cells for cells in plan.recipe.grid)
        # Scenes are made in order, so that the same seed gives the same frames.
        any_frame = self.SCENES[split].any_frame
        rng = np.random.default_rng((self.builder_config.seed, 2)) if any_frame else None
        for example in mixing.scenes(
            plan, lambda place: clips.clip(place, rng), size=size, prefix=split
        ):
            most = max(self.info.metadata["max_objects"], len(example["objects"]))
            self.info.metadata["max_objects"] = most
            yield example["id"], example


def _planned(
    clips: SoloClips, wanted: SceneSplit, seed: int, kinds: Int[np.ndarray, " K"] | None
) -> tuple[ScenePlan, bool, str]:
    """The plan by indices into the split, whether boxes are known, and notes for the user.

    `kinds`: the categories that may be in it; None or none: all.
    """
    usable = clips.usable & (clips.labels >= 0 if (clips.labels >= 0).any() else True)
    chosen = kinds is not None and bool(np.isin(clips.labels, kinds).any())
    if chosen:
        usable = usable & np.isin(clips.labels, kinds)
    placed = bool(wanted.placed and (usable & clips.placed).any())
    places = np.flatnonzero(usable & clips.placed if placed else usable)
    count = min(wanted.count, len(places))
    plan = plan_scenes(
        clips.labels[places], clips.videos[places], count, RECIPES[wanted.recipe], seed=seed
    )
    notes = []
    if chosen:
        notes.append(f"of the {len(kinds)} categories that have boxes in {wanted.boxed_in}")
    if count < wanted.count:
        notes.append(
            f"{count} scenes, not {wanted.count:,}: {wanted.source} has only {len(places)} "
            f"clips{' with boxes' if placed else ''}"
        )
    if wanted.placed and not placed:
        notes.append(f"{wanted.source} has no boxes, so the box of each object is its cell")
    return plan._replace(clips=places[plan.clips]), placed, "; ".join(notes)
