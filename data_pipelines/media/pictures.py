"""Anyone's picture files to RGB: a few formats, a stated size, one meaning of each mode.

Every picture that avloc did not write itself comes through `read_picture`. Pillow would guess the
format by the content, and start Ghostscript on an EPS file whatever its name is.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""What is read; none of these runs another program."""

MAX_PIXELS = 64_000_000
"""Of a picture; reading it and drawing on it takes about 15 bytes a pixel."""

MIN_SIDE, MAX_RATIO = 8, 32
"""Of a picture, in pixels; its longer side is at most so many times the shorter one."""


class PictureError(ValueError):
    """A picture that cannot be used. The sentence names the file and the fault."""


def read_picture(
    file: str | Path | IO[bytes], name: str | Path | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture file as RGB, upright; the first frame of a moving one.

    More than 8 bits are scaled to 8. What is transparent is shown on white.

    Args:
      file: its path, or its open content.
      name: what a sentence calls it; None: its path.

    Raises:
      PictureError: no file, another format, damaged, or too large, thin or small.
    """
    name = name or file
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is lower
            with Image.open(file, formats=FORMATS) as found:
                fault = _size_fault(found)
                picture = None if fault else _rgb(found)
    except FileNotFoundError as missing:
        raise PictureError(f"{name}: no such file") from missing
    except Image.DecompressionBombError as large:
        limit = MAX_PIXELS // 10**6
        raise PictureError(f"{name}: more than {limit} megapixels: scale it down") from large
    except UnidentifiedImageError as strange:
        known = ", ".join(FORMATS)
        raise PictureError(f"{name}: not a picture that can be read; read are {known}") from strange
    except MemoryError as full:
        raise PictureError(f"{name}: does not fit into memory") from full
    except Exception as damage:  # Pillow's readers meet damage with errors of any type
        raise PictureError(f"{name}: a damaged picture ({damage})") from damage
    if fault:
        raise PictureError(f"{name}: {fault}")
    return picture


def check_size(width: int, height: int) -> None:
    """Raises ValueError where a picture is too large, or too small or thin to be seen in cells."""
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{width} x {height} pixels are more than {MAX_PIXELS // 10**6} megapixels: scale it "
            "down"
        )
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"{width} x {height} pixels: each side must be at least {MIN_SIDE}")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise ValueError(
            f"{width} x {height} pixels: the longer side may be {MAX_RATIO} times the shorter one "
            "at most: cut it"
        )


def _size_fault(found: Image.Image) -> str | None:
    """What the header says that is beyond the limits."""
    try:
        check_size(*found.size)
    except ValueError as fault:
        return str(fault)
    return None


def _rgb(found: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    ImageOps.exif_transpose(found, in_place=True)
    if found.mode.startswith(("I", "F")):
        grey = _eight_bits(np.asarray(found), found.mode, found.format)
        return np.repeat(grey[..., None], 3, axis=-1)
    if found.mode.endswith(("A", "a")) or "transparency" in found.info:
        clear = found.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return np.asarray(Image.alpha_composite(white, clear).convert("RGB"))
    return np.asarray(found if found.mode == "RGB" else found.convert("RGB"))


def _eight_bits(values: np.ndarray, mode: str, form: str | None) -> UInt8[np.ndarray, "H W"]:
    """Grey of more than 8 bits, or of floats, as 0 to 255.

    The mode or the format says how bright white is, or else it is the smallest usual one that no
    value is beyond.
    """
    low, high = float(values.min()), float(values.max())
    whites = (1, 2**8 - 1, 2**16 - 1) if mode == "F" else (2**8 - 1, 2**16 - 1, 2**32 - 1)
    if mode.startswith("I;16") or form == "PPM":
        whites = (2**16 - 1,)
    white = next((white for white in whites if high <= white), None)
    if white is None or not low >= 0:
        raise ValueError(f"its values are {low:.4g} to {high:.4g}: give 0 to 255")
    scaled = np.multiply(values, 255 / white, dtype=np.float32)
    return np.rint(scaled).astype(np.uint8)
