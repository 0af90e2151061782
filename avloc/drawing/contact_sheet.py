"""A sheet of a data set's items: frames with boxes, and the sound below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from avloc.data_pipelines.checks.preview import Item
from avloc.drawing.rendering import palette, rectangle
from avloc.drawing.tags import INK, Area, font, place_tag, tag

_SIDE = 352  # pixels of a frame's longer side
_SOUND = 88  # pixels of a spectrogram's height
_GAP, _MARGIN = 8, 24
_TEXT = 15  # size of lettering
_LINE = 20  # pixels of a line of it
_COLUMNS = 4

_PAPER, _DIM = (250, 250, 248), (96, 104, 112)
_WHITE = (255, 255, 255)

# From dark to light: violet, magenta, orange, pale yellow.
_LOUDNESS = np.array([[8, 6, 24], [84, 18, 110], [187, 55, 84], [249, 142, 8], [252, 255, 180]])

LEGEND = (
    "Solid box: sounds. Dashed white box: silent. Below: the sound of the clip as log-mel "
    "spectrogram, low pitch at the bottom, time to the right."
)


def contact_sheet(
    items: Sequence[Item], names: Sequence[str], title: str
) -> UInt8[np.ndarray, "H W 3"]:
    """Draws items side by side, in rows.

    Args:
      items: one or more.
      names: of the categories.
      title: above them.

    Returns:
      RGB.
    """
    cells = [_cell(item, names) for item in items]
    columns = min(_COLUMNS, len(cells))
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = max(columns * (_SIDE + _MARGIN) + _MARGIN, 2 * _SIDE + 3 * _MARGIN)
    head = [_fit(title, width - 2 * _MARGIN, _TEXT + 5)]
    legend = _wrapped(LEGEND, width - 2 * _MARGIN)
    top = _MARGIN + _LINE + 8 + _LINE * len(legend) + _MARGIN // 2
    sheet = Image.new("RGB", (width, top + sum(heights) + _MARGIN * len(rows)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN), head[0], font=font(_TEXT + 5), fill=INK, anchor="lt")
    for i, line in enumerate(legend):
        at = (_MARGIN, _MARGIN + _LINE + 8 + i * _LINE)
        pen.text(at, line, font=font(_TEXT), fill=_DIM, anchor="lt")
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_MARGIN + column * (_SIDE + _MARGIN), top))
        top += height + _MARGIN
    return np.array(sheet)


def _cell(item: Item, names: Sequence[str]) -> Image.Image:
    """An item: its id, its frame with boxes, objects without a box, its spectrogram."""
    frame = _framed(item, names)
    lines = _wrapped(_unplaced(item, names), _SIDE)
    height = _LINE + frame.height + _GAP + _SOUND + _GAP + _LINE * len(lines)
    cell = Image.new("RGB", (_SIDE, height), _PAPER)
    pen = ImageDraw.Draw(cell)
    pen.text((0, 0), _fit(item.id, _SIDE, _TEXT), font=font(_TEXT), fill=INK, anchor="lt")
    top = _LINE
    cell.paste(frame, ((_SIDE - frame.width) // 2, top))
    top += frame.height + _GAP
    cell.paste(_sound(item.spectrogram), (0, top))
    top += _SOUND + _GAP
    for line in lines:
        pen.text((0, top), line, font=font(_TEXT), fill=_DIM, anchor="lt")
        top += _LINE
    return cell


def _framed(item: Item, names: Sequence[str]) -> Image.Image:
    image = Image.fromarray(item.frame)
    scale = _SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = image.resize(size, Image.Resampling.BICUBIC)
    placed = item.boxes.any(-1)
    taken: list[Area] = []
    # Silent ones first, so that sounding ones are on top.
    order = [i for i in np.argsort(item.sounding, kind="stable") if placed[i]]
    for i in order:
        colour = _colour(item.labels[i], names) if item.sounding[i] else _WHITE
        rectangle(canvas, item.boxes[i], colour, 3 if item.sounding[i] else 2, not item.sounding[i])
    for i in order:
        name = _name(item.labels[i], names)
        if name:
            label = tag(name, _colour(item.labels[i], names), _TEXT - 2)
            place_tag(canvas, label, item.boxes[i], 1.0, taken)
    return canvas


def _unplaced(item: Item, names: Sequence[str]) -> str:
    """A line about the sounds and objects that have no box."""
    unplaced = ~item.boxes.any(-1)
    said = []
    for what, those in (
        ("off screen", unplaced & item.offscreen),
        ("sounds, position not known", unplaced & ~item.offscreen & item.sounding),
        ("silent, position not known", unplaced & ~item.offscreen & ~item.sounding),
    ):
        if those.any():
            listed = [_name(label, names) or "unknown" for label in item.labels[those]]
            said.append(f"{what}: {', '.join(listed)}")
    return "; ".join(said)


def _sound(spectrogram: Float[np.ndarray, "T mels"]) -> Image.Image:
    """A spectrogram, low pitch at the bottom, from the clip's noise to its loudest."""
    heard = spectrogram[:, np.ptp(spectrogram, axis=0) > 0]  # some mel bins contain no frequency
    low, high = np.percentile(heard, (20, 100)) if heard.size else (0.0, 0.0)
    share = np.clip((spectrogram.T[::-1] - low) / max(high - low, 1e-6), 0, 1)
    points = np.linspace(0, 1, len(_LOUDNESS))
    colours = np.stack([np.interp(share, points, channel) for channel in _LOUDNESS.T], -1)
    return Image.fromarray(np.uint8(colours + 0.5)).resize((_SIDE, _SOUND), Image.BILINEAR)


def _name(label: int, names: Sequence[str]) -> str:
    return names[label] if 0 <= label < len(names) else ""


def _colour(label: int, names: Sequence[str]) -> tuple[int, int, int]:
    """A category's colour; that of the first if it is not known."""
    known = label if 0 <= label < len(names) else 0
    red, green, blue = palette(known + 1)[known]
    return int(red), int(green), int(blue)


def _fit(text: str, width: int, size: int) -> str:
    """The text, shortened in the middle if it is wider than `width` pixels."""
    face, keep = font(size), len(text)
    short = text
    while face.getlength(short) > width and keep > 2:
        keep -= 1
        short = f"{text[: keep // 2]}…{text[-(keep - keep // 2) :]}"
    return short


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` pixels, broken between words."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font(_TEXT).getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(_fit(word, width, _TEXT))
    return lines
