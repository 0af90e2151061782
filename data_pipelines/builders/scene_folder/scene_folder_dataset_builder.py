"""`scene_folder`: your own pictures with sounds and boxes, for testing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from avloc.data_pipelines.annotations.scene_list import Scene, class_names, read_scenes
from avloc.data_pipelines.builders.decoding import ClipStore, store_of
from avloc.data_pipelines.builders.recordings import RecordingsBuilder, RecordingsConfig
from avloc.data_pipelines.builders.video_folder.folder import folder_slug
from avloc.data_pipelines.collection import Collection, Folder, Moment, Object, Offscreen, Recording

ANNOTATIONS = "annotations.json"

SHORT_SIDE = 512
"""Pictures are scaled down to this shorter side, in pixels: their objects are smaller than those
of single clips."""


def collection(folder: Folder, **_: Any) -> Collection:
    """The scenes of a folder with an `annotations.json`, or of its subfolders that have one.

    Raises:
      ValueError: there is none, or one is wrong.
    """
    here = folder.root / ANNOTATIONS
    files = {"test": here} if here.is_file() else _by_subfolder(folder.root)
    if not files:
        raise ValueError(
            f"{folder.root}: {ANNOTATIONS} is neither in this folder nor in a subfolder; "
            "docs/own_videos.md shows its layout"
        )
    scenes = {split: read_scenes(path) for split, path in files.items()}
    classes = class_names([scene for part in scenes.values() for scene in part])
    return Collection(
        classes=tuple(classes),
        splits={
            split: tuple(_recording(scene, files[split].parent, classes, folder) for scene in part)
            for split, part in scenes.items()
        },
        annotations=tuple(files.values()),
    )


def _by_subfolder(root: Path) -> dict[str, Path]:
    """The file of each subfolder that has one, by the split that is named after the subfolder."""
    found: dict[str, Path] = {}
    for path in sorted(root.glob(f"*/{ANNOTATIONS}")):
        split = folder_slug(path.parent)
        if split in found:
            raise ValueError(
                f"{found[split].parent} and {path.parent} would both be the split {split}: "
                "rename one"
            )
        found[split] = path
    return found


def _recording(scene: Scene, home: Path, classes: list[str], folder: Folder) -> Recording:
    image, audio = home / scene.image, home / scene.audio
    there = image.is_file() and audio.is_file()
    # Subfolders may number their scenes alike.
    id = scene.id if home == folder.root else f"{home.name}/{scene.id}"
    objects = [Object(o.box, classes.index(o.category), o.sounding) for o in scene.objects]
    objects += [Offscreen(None, classes.index(name)) for name in scene.offscreen]
    return Recording(
        id,
        path=image if there else None,
        sound=audio if there else None,
        moments=(Moment(id, scene.start, 0.0, tuple(objects)),),
    )


class Builder(RecordingsBuilder):
    """Pictures, each with a second of sound, and boxes of what is seen and heard, for testing.

    A folder with an `annotations.json` is the split `test`; of a folder without one, each subfolder
    that has one is a split of that subfolder's name.
    """

    VERSION = tfds.core.Version("1.0.0")
    collection = staticmethod(collection)

    @classmethod
    def config_of(cls, source: str | Path, name: str | None = None) -> RecordingsConfig:
        """The configuration of a folder, named after it unless a name is given.

        Raises:
          ValueError: there is no such folder, or its annotation is missing or wrong.
        """
        folder = Folder(source)
        return RecordingsConfig(
            name=name or folder_slug(folder.root),
            source=str(folder.root),
            collection=collection(folder),
        )

    @property
    def _store(self) -> ClipStore:
        return store_of(self, side=SHORT_SIDE)
