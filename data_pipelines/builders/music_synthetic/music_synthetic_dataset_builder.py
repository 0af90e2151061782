"""`music_synthetic`: scenes of four solos of MUSIC, two of them heard; made, or as published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from avloc.data_pipelines.annotations.music import MUSIC_CLASSES
from avloc.data_pipelines.annotations.synthetic_archive import (
    LOG_MEL_SHAPE,
    SceneFiles,
    check_boxes,
    find_scenes,
    read_boxes,
    read_log_mel,
)
from avloc.data_pipelines.builders.scenes import ScenesBuilder, ScenesConfig, mark_of
from avloc.data_pipelines.collection import Object
from avloc.data_pipelines.records.features import clip_example, clip_features
from avloc.data_pipelines.scenes.plan import SceneSplit

_UNKNOWN = (Object(None, -1),)


class Builder(ScenesBuilder):
    """MUSIC-Synthetic (DSOL 4.1, CSOL 4.1): two of four solos of different instruments are heard.

    Made from `music`, or read from the published archive. Made ones are of the categories that have
    boxes in its test split, the seven that the authors' detector knows. The archive holds the sound
    as a log-mel spectrogram and no waveform, and boxes of the sounding objects of test scenes
    alone: silent ones are in the picture, and neither their places nor what they are is known.
    """

    VERSION = tfds.core.Version("1.2.0")
    SCENES = {  # noqa: RUF012
        "cocktail_train": SceneSplit("synthesis", "2_2_0", 24_978, any_frame=True, boxed_in="test"),
        "cocktail_test": SceneSplit("test", "2_2_0", 456, placed=True),
    }

    @classmethod
    def config_of(cls, source: str | Path, name: str | None = None) -> ScenesConfig:
        """The configuration that reads the published archive.

        Raises:
          ValueError: there is no such folder, or no part of the archive in it.
        """
        source = Path(source).expanduser().resolve()
        scenes = [scene for part in find_scenes(source).values() for scene in part]
        mark = mark_of([[_stamp(path) for path in scene[1:]] for scene in scenes])
        return ScenesConfig(name=name or "published", source=str(source), mark=mark)

    def _info(self) -> tfds.core.DatasetInfo:
        if self.builder_config.base:
            return super()._info()
        return self.dataset_info_from_configs(
            description=self.__doc__,
            features=clip_features(log_mel=LOG_MEL_SHAPE),
            metadata=tfds.core.MetadataDict(
                {
                    "class_names": list(MUSIC_CLASSES),
                    "source": self.builder_config.source,
                    "fingerprint": self.builder_config.fingerprint(),
                    "sound": "log-mel",
                    "scene_boxes": {"cocktail_train": "none", "cocktail_test": "sounding"},
                    "skipped": [],
                    "counts": {},
                    "max_objects": 0,
                }
            ),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        if self.builder_config.base:
            return super()._split_generators(dl_manager)
        found = find_scenes(self.builder_config.source)
        check_boxes(found.get("cocktail_test", ()))
        return {split: self._published(split, scenes) for split, scenes in found.items()}

    def _published(self, split: str, scenes: Sequence[SceneFiles]) -> Iterator[tuple[str, dict]]:
        """The scenes of the archive that can be read; says which cannot."""
        skipped, metadata = [], self.info.metadata
        for scene in scenes:
            try:
                example = _read(scene)
            except ValueError as fault:
                skipped.append({"file": scene.id, "reason": str(fault)})
                continue
            metadata["max_objects"] = max(metadata["max_objects"], len(example["objects"]))
            yield scene.id, example
        read = len(scenes) - len(skipped)
        if not read:
            raise ValueError(
                f"{self.builder_config.source}: none of its {len(scenes)} scenes of {split} can be "
                f"read: {skipped[0]['reason']}"
            )
        metadata["skipped"] += skipped
        metadata["counts"][split] = {"found": len(scenes), "damaged": len(skipped)}
        metadata["summary"] = _summary(metadata["counts"], metadata["skipped"])


def _summary(counts: dict[str, dict[str, int]], skipped: list[dict[str, str]]) -> str:
    """A summary of the scenes that were read and skipped."""
    found, bad = (sum(count[what] for count in counts.values()) for what in ("found", "damaged"))
    summary = f"Read {found - bad} of {found} scenes of the published archive"
    if skipped:
        told = "; ".join(row["reason"] for row in skipped[:3])
        summary += f"; skipped: {told}" + ("; ..." if len(skipped) > 3 else "")
    return summary + "."


def _read(scene: SceneFiles) -> dict:
    """A scene of the archive as an example; raises ValueError where a file is missing or bad."""
    try:
        with Image.open(scene.image) as image:
            frame = np.asarray(image.convert("RGB"))
    except (OSError, Image.DecompressionBombError) as fault:
        raise ValueError(f"{scene.image}: not a picture ({fault})") from fault
    log_mel = read_log_mel(scene.log_mel)
    objects = _UNKNOWN if scene.boxes is None else read_boxes(scene.boxes, MUSIC_CLASSES)
    return clip_example(
        id=scene.id,
        video=scene.id,
        second=0,
        frames=[frame],
        log_mel=log_mel,
        boxes=np.array([one.box or (0, 0, 0, 0) for one in objects], np.float32),
        labels=np.array([one.label for one in objects]),
        sounding=np.array([one.sounding for one in objects]),
    )


def _stamp(path: Path | None) -> list[str | int] | None:
    """Name, size and modification time of a file, if it exists."""
    if path is None or not path.is_file():
        return None
    stat = path.stat()
    return [str(path), stat.st_size, stat.st_mtime_ns]
