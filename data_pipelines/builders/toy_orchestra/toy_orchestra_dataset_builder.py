"""`toy_orchestra`: a procedural set of sounding objects, made in under a minute from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import mixing
from data_pipelines.builders.toy_orchestra import drawing, sounds
from data_pipelines.builders.toy_orchestra.figures import INSTRUMENTS
from data_pipelines.features import clip_example, clip_features

CLASS_NAMES = tuple(INSTRUMENTS)
assert tuple(sounds.TIMBRES) == CLASS_NAMES

CLIPS_PER_VIDEO = 2
FRAME_SIZE = 112

_SPLITS = ("train", "validation", "test")
_SCENES_FROM = MappingProxyType(
    {"cocktail_train": "train", "cocktail_validation": "validation", "cocktail_test": "test"}
)


@dataclass(kw_only=True)
class ToyOrchestraConfig(tfds.core.BuilderConfig):
    """Number of items of each split, and the seed that everything is drawn from."""

    train: int
    validation: int
    test: int
    cocktail_train: int
    cocktail_validation: int
    cocktail_test: int
    seed: int = 0


class ToyClip(NamedTuple):
    """A clip with what is only known because it was drawn.

    Attributes:
      video: name of the video; its clips show one object and play one instrument.
      label: place in `CLASS_NAMES`.
      picture: the frame, the object's mask and box.
      sound: the waveform and its pitches.
    """

    video: str
    label: int
    picture: drawing.Picture
    sound: sounds.Sound

    def decoded(self) -> mixing.Clip:
        return mixing.Clip(
            frame=self.picture.frame,
            waveform=self.sound.waveform,
            boxes=self.picture.box[None],
            labels=np.array([self.label]),
        )


def make_clip(split: str, index: int, seed: int = 0) -> ToyClip:
    """Clip `index` of the solo split `train`, `validation` or `test`.

    Depends on nothing but its arguments. Clips 2v and 2v + 1 are of video v, whose category is v
    modulo the number of categories.
    """
    video, take = divmod(index, CLIPS_PER_VIDEO)
    label = video % len(CLASS_NAMES)
    key = (seed, _SPLITS.index(split), video)
    once = np.random.default_rng((*key, 0))
    look, voice = drawing.look(label, once, FRAME_SIZE), sounds.voice(label, once)
    each = np.random.default_rng((*key, 1 + take))
    return ToyClip(
        video=f"{split}_{video:05d}",
        label=label,
        picture=drawing.picture(look, each),
        sound=sounds.play(voice, each),
    )


class Builder(tfds.core.GeneratorBasedBuilder):
    """Solo clips of ten toy instruments, and cocktail-party scenes made from them.

    No two splits share a video, except that each `cocktail_*` split is made from the solo split of
    its name. Boxes are those of the whole silhouette, occluded or not.
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        ToyOrchestraConfig(
            name="default",
            description="The set that the demo trains on.",
            train=2000,
            validation=240,
            test=400,
            cocktail_train=4800,
            cocktail_validation=240,
            cocktail_test=456,
        ),
        ToyOrchestraConfig(
            name="tiny",
            description="A handful of clips, for tests.",
            train=64,
            validation=16,
            test=16,
            cocktail_train=16,
            cocktail_validation=16,
            cocktail_test=16,
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(),
            metadata=tfds.core.MetadataDict(
                {
                    "class_names": list(CLASS_NAMES),
                    "boxes": "exact",
                    "recipe": "MUSIC-Synthetic: four categories in a 2x2 grid, two sounding",
                    "seed": self.builder_config.seed,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        # Scenes use the clips again, so they are kept until the set is built: 80 kB each.
        clip = cache(partial(make_clip, seed=self.builder_config.seed))
        solo = {split: self._solo(split, clip) for split in _SPLITS}
        return solo | {split: self._cocktail(split, clip) for split in _SCENES_FROM}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _solo and _cocktail")

    def _solo(
        self, split: str, get_clip: Callable[[str, int], ToyClip]
    ) -> Iterator[tuple[str, dict]]:
        for index in range(getattr(self.builder_config, split)):
            clip = get_clip(split, index)
            second = index % CLIPS_PER_VIDEO
            name = f"{clip.video}_{second}"
            yield (
                name,
                clip_example(
                    id=name,
                    video=clip.video,
                    second=second,
                    frames=[clip.picture.frame],
                    waveform=clip.sound.waveform,
                    boxes=clip.picture.box[None],
                    labels=np.array([clip.label]),
                    sounding=np.array([True]),
                ),
            )

    def _cocktail(
        self, split: str, get_clip: Callable[[str, int], ToyClip]
    ) -> Iterator[tuple[str, dict]]:
        source = _SCENES_FROM[split]
        videos = np.arange(getattr(self.builder_config, source)) // CLIPS_PER_VIDEO
        plan = mixing.plan_scenes(
            videos % len(CLASS_NAMES),
            videos,
            getattr(self.builder_config, split),
            seed=self.builder_config.seed,
        )
        made = mixing.scenes(plan, lambda i: get_clip(source, i).decoded(), prefix=split)
        for example in made:
            yield example["id"], example
