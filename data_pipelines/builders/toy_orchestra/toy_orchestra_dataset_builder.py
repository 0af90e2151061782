"""`toy_orchestra`: a procedural set of sounding objects, made in under a minute from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.placed import Placed
from avloc.data_pipelines.builders.toy_orchestra import drawing, sounds
from avloc.data_pipelines.builders.toy_orchestra.figures import INSTRUMENTS
from avloc.data_pipelines.records.features import CLIP_SECONDS, clip_example, clip_features
from avloc.data_pipelines.scenes import mixing
from avloc.data_pipelines.scenes.plan import RECIPES, SceneSplit, plan_scenes

assert tuple(sounds.TIMBRES) == tuple(INSTRUMENTS)

CLIPS_PER_VIDEO = 2
FRAME_SIZE = 112
CELL_SIZE = 56

_SPLITS = ("train", "validation", "test")


@dataclass(kw_only=True)
class ToyOrchestraConfig(tfds.core.BuilderConfig):
    """Number of clips of each solo split, the scenes, and the seed that everything is drawn from.

    Attributes:
      scenes: splits of scenes, by name.
      classes: number of categories: the first of `figures.INSTRUMENTS`.
      seconds: length of a clip's sound, with a phrase in each second.
    """

    train: int
    validation: int
    test: int
    scenes: Mapping[str, SceneSplit]
    classes: int = 10
    seconds: int = CLIP_SECONDS
    seed: int = 0

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(INSTRUMENTS)[: self.classes]

    @property
    def num_examples(self) -> dict[str, int]:
        """Number of items of each split."""
        solo = {split: getattr(self, split) for split in _SPLITS}
        return solo | {split: scenes.count for split, scenes in self.scenes.items()}


def _synthetic_scenes(train: int, validation: int, test: int) -> dict[str, SceneSplit]:
    return {
        "cocktail_train": SceneSplit("train", "2_2_0", train),
        "cocktail_validation": SceneSplit("validation", "2_2_0", validation),
        "cocktail_test": SceneSplit("test", "2_2_0", test),
    }


def _wild_scenes(train: int, validation: int, test: int) -> dict[str, SceneSplit]:
    return {
        "wild_train": SceneSplit("train", "2_2_1", train),
        "wild_validation": SceneSplit("validation", "2_2_1", validation),
        "cocktail_test": SceneSplit("test", "2_2_0", test),
        "wild_test_2_2_1": SceneSplit("test", "2_2_1", test),
        "wild_test_3_3_2": SceneSplit("test", "3_3_2", test),
        "wild_test_4_4_3": SceneSplit("test", "4_4_3", test),
        "uneven_test": SceneSplit("test", "uneven", test),
    }


class ToyClip(NamedTuple):
    """A clip with what is only known because it was drawn.

    Attributes:
      video: name of the video; its clips show one object and play one instrument.
      label: place in `figures.INSTRUMENTS`.
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


def make_clip(
    split: str, index: int, seed: int = 0, classes: int = 10, seconds: int = CLIP_SECONDS
) -> ToyClip:
    """Clip `index` of the solo split `train`, `validation` or `test`.

    Depends on nothing but its arguments. Clips 2v and 2v + 1 are of video v, whose category is v
    modulo `classes`.
    """
    video, take = divmod(index, CLIPS_PER_VIDEO)
    label = video % classes
    key = (seed, _SPLITS.index(split), video)
    once = np.random.default_rng((*key, 0))
    look, voice = drawing.look(label, once, FRAME_SIZE), sounds.voice(label, once)
    each = np.random.default_rng((*key, 1 + take))
    return ToyClip(
        video=f"{split}_{video:05d}",
        label=label,
        picture=drawing.picture(look, each),
        sound=sounds.perform(voice, each, seconds),
    )


class Builder(Placed, tfds.core.GeneratorBasedBuilder):
    """Solo clips of ten or twelve toy instruments, and cocktail-party scenes made from them.

    No two solo splits share a video; a split of scenes is made from the solo split in its name
    (`train`, `validation` or `test`). Boxes are those of the whole silhouette, occluded or not.
    Cells of scenes are squares of one size, so larger grids make wider frames.
    """

    VERSION = tfds.core.Version("1.3.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        ToyOrchestraConfig(
            name="default",
            description="The set that the demo trains on.",
            train=2000,
            validation=240,
            test=400,
            scenes=_synthetic_scenes(4800, 240, 456),
        ),
        ToyOrchestraConfig(
            name="tiny",
            description="A handful of clips, for tests.",
            train=64,
            validation=16,
            test=16,
            scenes=_synthetic_scenes(16, 16, 16),
        ),
        ToyOrchestraConfig(
            name="wild",
            description="Twelve categories; scenes with silent objects and sound from off screen.",
            train=2400,
            validation=288,
            test=480,
            scenes=_wild_scenes(4800, 240, 300),
            classes=12,
        ),
        ToyOrchestraConfig(
            name="tiny_wild",
            description="A handful of clips and scenes of `wild`, for tests.",
            train=64,
            validation=24,
            test=24,
            scenes=_wild_scenes(12, 12, 12),
            classes=12,
        ),
        ToyOrchestraConfig(
            name="long",
            description="Clips of six seconds, to learn to separate sounds.",
            train=800,
            validation=100,
            test=100,
            scenes={"cocktail_test": SceneSplit("test", "2_2_0", 60)},
            seconds=6,
        ),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(clip_seconds=self.builder_config.seconds),
            metadata=tfds.core.MetadataDict(
                {
                    "class_names": list(self.builder_config.class_names),
                    "boxes": "exact",
                    "recipes": {
                        split: scenes.describe()
                        for split, scenes in self.builder_config.scenes.items()
                    },
                    "seed": self.builder_config.seed,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        # Scenes use the clips again, so they are kept until the set is built: 80 kB each and more.
        config = self.builder_config
        own = {"seed": config.seed, "classes": config.classes, "seconds": config.seconds}
        clip = cache(partial(make_clip, **own))
        solo = {split: self._solo(split, clip) for split in _SPLITS}
        return solo | {split: self._scenes(split, clip) for split in config.scenes}

    def _generate_examples(self) -> Iterator[tuple[str, dict]]:
        raise NotImplementedError("splits come from _solo and _scenes")

    def _solo(
        self, split: str, get_clip: Callable[[str, int], ToyClip]
    ) -> Iterator[tuple[str, dict]]:
        for index in range(getattr(self.builder_config, split)):
            clip = get_clip(split, index)
            take = index % CLIPS_PER_VIDEO
            name = f"{clip.video}_{take}"
            yield (
                name,
                clip_example(
                    id=name,
                    video=clip.video,
                    second=take * self.builder_config.seconds,
                    frames=[clip.picture.frame],
                    waveform=clip.sound.waveform,
                    boxes=clip.picture.box[None],
                    labels=np.array([clip.label]),
                    sounding=np.array([True]),
                ),
            )

    def _scenes(
        self, split: str, get_clip: Callable[[str, int], ToyClip]
    ) -> Iterator[tuple[str, dict]]:
        config = self.builder_config
        source, recipe, count, *_ = config.scenes[split]
        videos = np.arange(getattr(config, source)) // CLIPS_PER_VIDEO
        plan = plan_scenes(
            videos % config.classes, videos, count, RECIPES[recipe], seed=config.seed
        )
        made = mixing.scenes(
            plan,
            lambda i: get_clip(source, i).decoded(),
            size=tuple(CELL_SIZE * cells for cells in RECIPES[recipe].grid),
            prefix=split,
        )
        for example in made:
            yield example["id"], example
