"""Frame to network input: views on the host, normalisation on the device."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from avloc.inputs import IMAGENET, Scaling

CROP = 224 / 256
"""Side of a random crop, as a share of the frame's side."""

JITTER = (0.7, 1.3)
"""Range of the brightness and of the colour factor."""

ZOOM_OUT = (0.4, 0.75)
"""Range of a zoomed-out view's side, as a share of the canvas's side."""

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601


def _check(frame: np.ndarray) -> None:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3:
        raise ValueError(f"a frame must be [h, w, 3] uint8, not {frame.shape} {frame.dtype}")


def evaluation_view(
    frame: UInt8[np.ndarray, "h w 3"], size: int | tuple[int, int], *, centre_crop: bool = False
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The whole frame, or the `CROP` in its middle, resized to `size` x `size`.

    Args:
      frame: RGB, 0 to 255.
      size: side of the view in pixels, or its height and width.
      centre_crop: whether it is the middle: what resizing to 256 and cropping 224 gives, in one
        interpolation. Boxes follow it by `boxes_in_crop`.
    """
    _check(frame)
    height, width = (size, size) if isinstance(size, int) else size
    if frame.shape[:2] == (height, width) and not centre_crop:
        return frame
    box = centre(frame.shape) if centre_crop else None
    view = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(view)


def centre(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in pixels, of the `CROP` in the middle of a frame."""
    height, width = shape[:2]
    low, high = (1 - CROP) / 2, (1 + CROP) / 2
    return low * width, low * height, high * width, high * height


def boxes_in_crop(boxes: Float[np.ndarray, "M 4"]) -> Float[np.ndarray, "M 4"]:
    """Boxes of a frame, in 0..1, as they lie in the `CROP` in its middle, cut at its edges.

    One that lies outside becomes all zero, as one that is not known; such a one stays so.
    """
    moved = np.clip((boxes - (1 - CROP) / 2) / CROP, 0, 1)
    inside = boxes.any(axis=1) & (moved[:, 2:] > moved[:, :2]).all(axis=1)
    return np.where(inside[:, None], moved, 0).astype(boxes.dtype)


def view_in_proportion(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of a view of a frame of `shape` whose shorter side is `side` pixels.

    The longer side is rounded to a multiple of 16, the total stride of the networks here.
    """
    scale = side / min(shape[:2])
    height, width = (
        side if length == min(shape[:2]) else max(side, 16 * round(length * scale / 16))
        for length in shape[:2]
    )
    return height, width


def training_view(
    frame: UInt8[np.ndarray, "h w 3"],
    size: int,
    rng: np.random.Generator,
    *,
    zoom_out: float = 0.0,
) -> UInt8[np.ndarray, "size size 3"]:
    """A random view of a frame: crop, flip, brightness, colour; boxes do not follow it.

    The crop covers 224/256 of the frame's width and height, in its own aspect ratio, and is
    resized to a square: what resizing to 256 and cropping 224 gives, in one interpolation.

    Some views are zoomed out: shrunk, and pasted at a random place over smooth coloured noise.
    In a 2x2 scene objects are half as large as in the clips that the network first learns from;
    without such views, small objects and images that mostly show something else would be new to it
    there. The noise has no edges of its own that could attract attention.

    Args:
      frame: RGB, 0 to 255.
      size: side of the view, in pixels.
      rng: the only source of randomness; a generator in the same state gives the same view.
      zoom_out: how probable a zoomed-out view is.
    """
    _check(frame)
    height, width = frame.shape[:2]
    left, top = rng.uniform(0, 1 - CROP, size=2) * (width, height)
    flip = rng.random() < 0.5
    brightness, colour = rng.uniform(*JITTER, size=2)
    zoomed = rng.random() < zoom_out
    side = max(1, round(size * rng.uniform(*ZOOM_OUT))) if zoomed else size

    view = Image.fromarray(frame).resize(
        (side, side),
        Image.Resampling.BILINEAR,
        box=(left, top, left + CROP * width, top + CROP * height),
    )
    if flip:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    view = view.convert("RGB", _jitter_matrix(brightness, colour))
    if zoomed:
        canvas = _smooth_noise(size, rng)
        canvas.paste(view, tuple(rng.integers(0, size - side + 1, size=2).tolist()))
        view = canvas
    return np.asarray(view)


def _jitter_matrix(brightness: float, colour: float) -> tuple[float, ...]:
    """`brightness * (colour * x + (1 - colour) * grey(x))` as Pillow's 3x4 matrix."""
    mix = brightness * (colour * np.eye(3) + (1 - colour) * _LUMA)
    return tuple(np.pad(mix, ((0, 0), (0, 1))).ravel().tolist())


def _smooth_noise(size: int, rng: np.random.Generator) -> Image.Image:
    cells = rng.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((size, size), Image.Resampling.BICUBIC)


def normalize(
    images: UInt8[Array, "B H W 3"], scaling: Scaling = IMAGENET
) -> Float[Array, "B H W 3"]:
    """Pixels minus the mean, divided by the deviation; float32. By default ImageNet's."""
    if images.dtype != jnp.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must be [B, H, W, 3] uint8, not {images.shape} {images.dtype}")
    mean = np.array(scaling.mean, np.float32) * 255
    std = np.array(scaling.deviation, np.float32) * 255
    return (jnp.asarray(images, jnp.float32) - mean) / std
