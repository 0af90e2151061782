"""What AudioSet-instrument's two box files and AudioSet's own lists say about its clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from avloc.data_pipelines.annotations.audioset import read_boxes, read_coco, read_segments
from avloc.data_pipelines.collection import Moment

CODES: Mapping[str, str] = MappingProxyType(
    {
        "/m/018j2": "Banjo",
        "/m/01xqw": "Cello",
        "/m/026t6": "Drum",
        "/m/02hnl": "Drum",  # drum kit
        "/m/06rvn": "Drum",  # snare drum
        "/m/0bm02": "Drum",  # bass drum
        "/m/0342h": "Guitar",
        "/m/02sgy": "Guitar",  # electric
        "/m/018vs": "Guitar",  # bass
        "/m/042v_gx": "Guitar",  # acoustic
        "/m/06w87": "Guitar",  # steel
        "/m/03m5k": "Harp",
        "/m/03qjg": "Harmonica",
        "/m/05r5c": "Piano",
        "/m/01s0ps": "Piano",  # electric
        "/m/06ncr": "Saxophone",
        "/m/07c6l": "Trombone",
        "/m/07gql": "Trumpet",
        "/m/07y_7": "Violin",
        "/m/0l14j_": "Flute",
        "/m/0mkg": "Accordion",
        "/m/0319l": "Horn",
    }
)
"""AudioSet's codes of the instruments. It has none for the oboe. The authors of the set
did not publish which of them they used."""


class Tagged(NamedTuple):
    """A clip of AudioSet: its start in the video, its length, in seconds, and its instruments."""

    start: float
    length: float
    labels: tuple[int, ...]


def read_tags(path: Path | None, classes: Sequence[str]) -> dict[str, Tagged]:
    """Rows of AudioSet's CSV with an instrument, by YouTube id; none where there is no file."""
    if path is None:
        return {}
    places = {code: classes.index(name) for code, name in CODES.items() if name in classes}
    return {
        id: Tagged(
            row.start,
            row.end - row.start if row.end > row.start else 10.0,
            tuple(sorted({places[c] for c in row.labels if c in places})),
        )
        for id, row in read_segments(path, labels=places).items()
    }


def read_moments(boxes: Path, coco: Path) -> dict[str, tuple[Moment, ...]]:
    """The annotated frames of each clip by YouTube id; times count from the start of the clip.

    Frames are those of `audioset_box.json`, objects those of `multi_source_coco.json`, whose frame
    n is second n % 10 of the clip that is number n // 10 in the order of ids. An object that only
    the second file has is silent. The frame's time is the middle of its second.

    Raises:
      ValueError: the two files are not of the same frames and boxes.
    """
    sounding = read_boxes(boxes)
    numbered: dict[int, dict[int, int]] = defaultdict(dict)
    objects = read_coco(coco)
    for number in sorted(objects):
        numbered[number // 10][number % 10] = number
    frames = dict(zip(sorted(sounding), numbered.values(), strict=False))
    matching = len(numbered) == len(sounding) and all(
        frames[id].keys() == seconds.keys()
        and all(
            set(found) <= {o.box for o in objects[frames[id][s]]} for s, found in seconds.items()
        )
        for id, seconds in sounding.items()
    )
    if not matching:
        raise ValueError(
            f"{coco}: its frames and boxes do not match {boxes.name}; download both files again"
        )
    return {
        id: tuple(
            Moment(
                name=f"{id}/{second}",
                start=float(second),
                time=second + 0.5,
                objects=tuple(
                    o._replace(sounding=o.box in sounding[id][second]) for o in objects[number]
                ),
            )
            for second, number in sorted(seconds.items())
        )
        for id, seconds in frames.items()
    }
