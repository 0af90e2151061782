"""Flickr-SoundNet: boxes drawn by several annotators, one XML file for each picture.

Published with Senocak et al., "Learning to Localize Sound Source in Visual Scenes" (CVPR 2018).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from avloc.data_pipelines.annotations.boxes import from_corners, has_area
from avloc.data_pipelines.annotations.reading import as_number, read_text
from avloc.data_pipelines.collection import Box

PICTURE_SIZE = 256
"""Width and height of the pictures that were annotated, in pixels."""

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_votes(path: Path) -> tuple[Box, ...]:
    """The boxes of one picture, by all annotators, `(ymin, xmin, ymax, xmax)` in 0..1.

    A `bbox` element, at any depth, holds `xmin`, `ymin`, `xmax`, `ymax` in pixels of a
    picture of 256x256. If its children have other names, the last four are used in that
    order, as the published readers do. An annotator who saw no source drew no box; a box without
    area votes for nothing and is left out.

    Raises:
      ValueError: not XML, a document type (which could make the file grow without bound), or a
        box that is not four numbers inside the picture.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path}: declares a document type; annotation files have none")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"{path}: not XML ({error})") from error
    boxes = [
        from_corners([number / PICTURE_SIZE for number in _corners(element, f"{path}, bbox {n}")])
        for n, element in enumerate(root.iter("bbox"), 1)
        if len(element)
    ]
    return tuple(box for box in boxes if has_area(box))


def _corners(element: ElementTree.Element, place: str) -> list[float]:
    named = {child.tag: child.text for child in element}
    if set(_CORNERS) <= set(named):
        texts = [named[name] for name in _CORNERS]
    else:
        texts = [child.text for child in element][-4:]
    if len(texts) != 4:
        raise ValueError(f"{place}: a box has {', '.join(_CORNERS)}, not {', '.join(named)}")
    numbers = [as_number(text, place) for text in texts]
    if not all(0 <= number <= PICTURE_SIZE for number in numbers):
        raise ValueError(f"{place}: {numbers} is not inside {PICTURE_SIZE}x{PICTURE_SIZE} pixels")
    return numbers
