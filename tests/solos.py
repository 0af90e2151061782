"""A built data set of single sources whose every clip is known, for scenes to be made from."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from avloc.data_pipelines.records.features import clip_example, clip_features

NAMES = ("cello", "drum", "erhu", "flute", "harp", "lute", "oboe", "piano")
FRAMES = 4
SIDE = 32
BOX = (0.25, 0.5, 0.75, 1.0)


def shade(label: int, frame: int) -> int:
    """Grey level of a clip's frame."""
    return 20 + 28 * label + 5 * frame


def tone(label: int) -> np.ndarray:
    """Sound of a category: int16, one second."""
    time = np.arange(16000) / 16000
    return (3000 * np.sin(2 * np.pi * (200 + 100 * label) * time)).astype(np.int16)


class Solos(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Category k has the grey level `shade(k, f)` in frame f, and the sound `tone(k)`.

    `synthesis`: 24 clips without boxes. `test`: clips 0 to 15 have the box `BOX`, 16 to 19 none,
    20 and 21 show two categories, 22 is silent, 23 has two objects of one category.
    """

    name = "music"
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="default")]  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=clip_features(),
            metadata=tfds.core.MetadataDict({"class_names": list(NAMES), "fingerprint": "abc"}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return {split: self._generate_examples(split) for split in ("synthesis", "test")}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        for place in range(24):
            label = place % len(NAMES)
            labels, box = [label], BOX if split == "test" and place < 16 else (0, 0, 0, 0)
            if split == "test" and place in (20, 21):
                labels = [label, (label + 1) % len(NAMES)]
            if split == "test" and place == 23:
                labels, box = [label, label], BOX
            name = f"{split}_{place:02d}"
            yield (
                name,
                clip_example(
                    id=name,
                    video=f"{split}_{place // 2}",
                    second=place % 2,
                    frames=[np.full((SIDE, SIDE, 3), shade(label, f), np.uint8) for f in range(4)],
                    waveform=tone(label),
                    boxes=np.array([box] * len(labels)),
                    labels=np.array(labels),
                    sounding=np.full(len(labels), not (split == "test" and place == 22)),
                ),
            )
