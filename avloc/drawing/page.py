"""A page as one HTML file that needs nothing beside it: tables, curves, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from avloc.drawing.bars import Bars, bars_svg
from avloc.drawing.charts import SERIES_COLOURS, Curve, svg
from avloc.drawing.table import PROSE, Table
from avloc.whole_files import replacing


@dataclass(frozen=True)
class Picture:
    """An image with what it shows.

    Attributes:
      caption: below it.
      image: RGB.
    """

    caption: str
    image: UInt8[np.ndarray, "H W 3"]


def write_report(
    path: str | Path,
    *,
    title: str,
    config_text: str = "",
    tables: Sequence[Table] = (),
    bars: Sequence[Bars] = (),
    curves: Sequence[Curve] = (),
    pictures: Sequence[Picture] = (),
    notes: Sequence[str] = (),
) -> Path:
    """Writes the report, whole or not at all, and returns its path.

    Args:
      path: of the HTML file; its folder is made if need be.
      title: heading.
      config_text: shown folded, as it is.
      tables: first, in this order.
      bars: charts after the tables.
      curves: after the bars.
      pictures: a grid after the curves.
      notes: paragraphs under the heading.

    Raises:
      ValueError: a picture is not `[H, W, 3]` uint8.
    """
    page = (
        _pages()
        .get_template("page.html")
        .render(
            title=title,
            config_text=config_text,
            tables=tables,
            bars=[(chart, Markup(bars_svg(chart))) for chart in bars],
            curves=[(chart, Markup(svg(chart))) for chart in curves],
            pictures=[(picture.caption, _png(picture)) for picture in pictures],
            notes=notes,
            colours=SERIES_COLOURS,
            prose=PROSE,
        )
    )
    path = Path(path)
    with replacing(path) as unfinished:
        unfinished.write_text(page + "\n", encoding="utf-8")
    return path


@cache
def _pages() -> Environment:
    return Environment(
        loader=PackageLoader("avloc.drawing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _png(picture: Picture) -> str:
    """The picture as PNG, in base64."""
    image = np.asarray(picture.image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(
            f"picture {picture.caption!r} must be [H, W, 3] uint8, not {image.shape} {image.dtype}"
        )
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
