"""A small folder of MUSIC in its authors' formats: ten videos of a few seconds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from avloc.data_pipelines.builders.recordings import RecordingsConfig
from tests.videos import write_video

SOLOS = {
    "cello": ["cello-00001", "cello-00002", "cello-00003"],
    "violin": ["violin-0001", "violin-0002", "violin-0003"],
}
DUETS = {"flute violin": ["duet-000001", "duet-000002", "duet-000003"]}
LISTS = {
    "solo_training_1.txt": ["cello-00001", "violin-0001"],
    "solo_training_2.txt": ["cello-00002"],
    "solo_validation.txt": ["violin-0002", "violin-0003", "cello-00003"],
    "solo_testing.txt": ["violin-0003", "cello-00003"],
    "duet_pairs_train.txt": ["duet-000001"],
    "duet_pairs_val.txt": ["duet-000002", "duet-000003"],
}
# Seconds and numbers of frames at 30 a second; those of second 9 are beyond the end.
FRAMES = {"violin-0003": [(0, 13), (1, 37), (2, 80)], "cello-00003": [(1, 44), (9, 283), (9, 290)]}
RATES = {"violin-0003": 25, "cello-00003": Fraction(30000, 1001), "duet-000002": 60}
CATEGORIES = {"cello": 1, "violin": 11, "flute": 12}
SIZE = (96, 64)


def entry(*boxes: tuple[str, list[float]]) -> dict:
    """A frame's entry; boxes are `[x, y, width, height]` in 0..1."""
    scale = (*SIZE, *SIZE)
    found = [
        {
            "box": [round(share * side) for share, side in zip(box, scale, strict=True)],
            "normbox": box,
            "category_id": CATEGORIES[name],
        }
        for name, box in boxes
    ]
    return {"bbox": found, "wdith": SIZE[0], "height": SIZE[1]}


def key(id: str, second: int, number: int) -> str:
    """Name of a frame in the label files."""
    return f"{id}_0_1000/frame_{second:03d}/{number:05d}.jpg"


def labels() -> dict[str, dict]:
    """The two label files. The third frame of the violin has no box."""
    solo = {
        key(id, second, number): entry((id[:-5].strip("-"), [0.125, 0.25, 0.5, 0.5]))
        for id, frames in FRAMES.items()
        for second, number in frames
    }
    solo[key("violin-0003", 2, 80)] = entry()
    duet = {
        key("duet-000002", 1, 40): entry(
            ("flute", [0.0, 0.0, 0.25, 0.75]), ("violin", [0.5, 0.25, 0.5, 0.5])
        )
    }
    return {"solotest.json": solo, "duettest.json": duet}


def write_annotations(folder: Path) -> Path:
    """Lists and label files, without videos."""
    (folder / "lists").mkdir(parents=True)
    for name, ids in LISTS.items():
        lines = [f"{id}_0_1000.flac {id}_0_1000.mp4\n" for id in ids]
        (folder / "lists" / name).write_text("".join(lines))
    for name, videos in (("solo", SOLOS), ("duet", DUETS)):
        content = json.dumps({"version": 1.0, "videos": videos}, indent=4)
        (folder / f"MUSIC_{name}_videos.json").write_text(content)
    for name, content in labels().items():
        (folder / name).write_text(json.dumps(content))
    return folder


def write_music(folder: Path, seconds: float = 3) -> Path:
    """All of it, but the video of `violin-0002`; half of the names end in `_0_1000`."""
    write_annotations(folder)
    for number, id in enumerate(
        id for part in (SOLOS, DUETS) for ids in part.values() for id in ids
    ):
        if id != "violin-0002":
            name = f"{id}_0_1000.mp4" if number % 2 else f"{id}.mp4"
            path = folder / "videos" / name
            path.parent.mkdir(exist_ok=True)
            rate, pitch = RATES.get(id, 12), 300 + 100 * number
            write_video(path, seconds=seconds, size=SIZE, rate=rate, frequency=pitch)
    return folder


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Builds inside this block start no processes, which takes a second each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RecordingsConfig.__init__.__kwdefaults__, "workers", 0)
        yield
