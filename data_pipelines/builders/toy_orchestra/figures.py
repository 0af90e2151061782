"""The figures of the toy orchestra: twelve instruments that sound, six things that never do.

A figure is a list of shapes in its own plane, x to the right and y down, roughly within -1..1.
A class is defined by its outline and inner structure; numbers of strings, widths and curves
vary from object to object. Shapes name a shade of a palette, never a colour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MAIN, SECOND, DARK, LIGHT = range(4)
"""Shades of a palette."""


class Shape(NamedTuple):
    """A filled polygon (`width` 0) or a line of the given width."""

    points: Float[np.ndarray, "P 2"]
    shade: int
    width: float


class Sketch:
    """Shapes in the order in which they are painted."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def line(self, points: object, width: float, shade: int = DARK) -> None:
        self.shapes.append(Shape(np.asarray(points, float), shade, width))

    def area(self, points: object, shade: int = MAIN, outline: float = 0.05) -> None:
        points = np.asarray(points, float)
        self.shapes.append(Shape(points, shade, 0.0))
        if outline:
            self.line(np.concatenate([points, points[:2]]), outline)

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        shade: int = MAIN,
        outline: float = 0.05,
    ) -> None:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.area(corners, shade, outline)

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        shade: int = MAIN,
        outline: float = 0.05,
    ) -> None:
        self.area(_oval(x, y, rx, ry), shade, outline)

    def ring(self, x: float, y: float, rx: float, ry: float, width: float, shade: int) -> None:
        points = _oval(x, y, rx, ry)
        self.line(np.concatenate([points, points[:2]]), width, shade)


def _oval(x: float, y: float, rx: float, ry: float) -> Float[np.ndarray, "28 2"]:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def accordion(s: Sketch, rng: np.random.Generator) -> None:
    """Two boxes with keys and buttons, folded bellows between them."""
    folds, height, wide = rng.integers(3, 6), rng.uniform(0.55, 0.75), rng.uniform(0.4, 0.55)
    edges = np.linspace(-wide, wide, 2 * folds + 1)
    reach = np.where(np.arange(len(edges)) % 2, height * 0.95, height * 0.68)
    for i in range(2 * folds):
        (a, b), (p, q) = edges[i : i + 2], reach[i : i + 2]
        s.area([(a, -p), (b, -q), (b, q), (a, p)], SECOND if i % 2 else LIGHT, 0.04)
    s.rectangle(-1, -height, -wide, height)
    s.rectangle(wide, -height, 1, height)
    middle = (1 + wide) / 2
    for y in np.linspace(-height * 0.7, height * 0.7, rng.integers(3, 5)):
        s.oval(-middle, y, 0.1, 0.1, DARK, 0)
    for y in np.linspace(-height * 0.8, height * 0.8, rng.integers(5, 7)):
        s.line([(wide + 0.1, y), (0.92, y)], 0.1, LIGHT)


def bell(s: Sketch, rng: np.random.Generator) -> None:
    """A flared cup with bands, a loop above and a clapper below."""
    curve, waist = rng.uniform(3, 6), rng.uniform(0.3, 0.42)
    s.ring(0, -0.88, 0.16, 0.17, 0.1, DARK)
    s.oval(0, 0.78, 0.17, 0.17, SECOND)
    t = np.linspace(0, 1, 14)
    half = waist * np.sqrt(np.minimum(1, t * 5 + 0.05)) + 0.12 * t + (0.8 - waist) * t**curve
    y = -0.75 + 1.45 * t
    s.area(np.concatenate([np.stack([half, y], 1), np.stack([-half, y], 1)[::-1]]))
    for place in (rng.integers(4, 6), 10):
        s.line([(-half[place], y[place]), (half[place], y[place])], 0.12, SECOND)
    s.line([(-0.5 * waist, -0.5), (-0.5 * waist, 0.25)], 0.1, LIGHT)


def drum(s: Sketch, rng: np.random.Generator) -> None:
    """A barrel laced in zigzag under a pale membrane."""
    wide, depth, tip = rng.uniform(0.75, 0.95), rng.uniform(0.5, 0.75), rng.uniform(0.22, 0.34)
    foot = wide * rng.uniform(0.78, 1.0)
    base = _oval(0, depth, foot, tip)
    s.area(np.concatenate([[(-wide, -depth)], base[14::-1], [(wide, -depth)]]))
    laces = 2 * rng.integers(3, 5) + 1
    x = np.linspace(-1, 1, laces)
    low = np.arange(laces) % 2
    sag = tip * np.sqrt(np.maximum(0, 1 - x**2))
    y = np.where(low, depth * 0.85, -depth * 0.85) + sag
    s.line(np.stack([x * np.where(low, foot, wide), y], 1), 0.09, LIGHT)
    s.oval(0, -depth, wide, tip, LIGHT, 0.1)
    s.oval(0, -depth, wide * 0.45, tip * 0.45, SECOND, 0)
    if rng.random() < 0.5:
        s.line([(-0.1, -depth), (0.55, -depth - 0.5)], 0.1, DARK)
        s.line([(0.25, -depth), (0.9, -depth - 0.35)], 0.1, DARK)


def gong(s: Sketch, rng: np.random.Generator) -> None:
    """A disc with rings and a boss, hung in a standing frame."""
    r, y = rng.uniform(0.55, 0.66), rng.uniform(0.0, 0.1)
    for side in (-1, 1):
        s.line([(side * 0.85, -0.95), (side * 0.85, 0.95)], 0.15, SECOND)
        s.line([(side * 0.6, 0.93), (side * 1.05, 0.93)], 0.15, SECOND)
        s.line([(side * 0.3, -0.9), (side * 0.3, y - r * 0.8)], 0.07, DARK)
    s.line([(-1.05, -0.9), (1.05, -0.9)], 0.18, SECOND)
    s.oval(0, y, r, r, MAIN, 0.08)
    s.ring(0, y, r * 0.7, r * 0.7, 0.07, rng.choice([DARK, SECOND]))
    s.oval(0, y, r * 0.33, r * 0.33, LIGHT, 0.06)


def guitar(s: Sketch, rng: np.random.Generator) -> None:
    """A waisted body with a round hole, a neck and a head."""
    low, high = rng.uniform(0.55, 0.68), rng.uniform(0.4, 0.5)
    s.line([(0, -1.15), (0, 0)], 0.24, SECOND)
    s.rectangle(-0.2, -1.35, 0.2, -1.0, DARK, 0)
    for y in (-1.27, -1.1):
        s.line([(-0.3, y), (0.3, y)], 0.09, LIGHT)
    lower, upper = (0, 0.45, low, 0.48), (0, -0.18, high, 0.4)
    s.oval(*upper, MAIN, 0.1)
    s.oval(*lower, MAIN, 0.1)
    s.oval(0, -0.18, high - 0.04, 0.36, MAIN, 0)
    s.oval(0, 0.12, 0.22, 0.22, DARK, 0)
    s.ring(0, 0.12, 0.26, 0.26, 0.07, LIGHT)
    s.line([(-0.25, 0.62), (0.25, 0.62)], 0.11, DARK)
    for x in np.linspace(-0.07, 0.07, rng.integers(2, 4)):
        s.line([(x, -1.2), (x, 0.62)], 0.035, LIGHT)


def harp(s: Sketch, rng: np.random.Generator) -> None:
    """A three-cornered open frame full of strings."""
    dip, strings = rng.uniform(0.1, 0.3), rng.integers(6, 9)
    x = np.linspace(-0.8, 0.75, 12)
    t = (x + 0.8) / 1.55
    neck = -0.45 - 0.4 * t + dip * np.sin(2 * np.pi * t) * 0.8
    board = -0.45 + 1.35 * t
    for place in np.linspace(-0.6, 0.62, strings):
        top, end = np.interp(place, x, neck), np.interp(place, x, board)
        s.line([(place, top), (place, end)], 0.055, LIGHT if place < 0.4 else SECOND)
    for width, shade in ((0.3, DARK), (0.22, MAIN)):
        s.line([(-0.8, -0.45), (0.75, 0.9)], width, shade)
    for width, shade in ((0.26, DARK), (0.18, MAIN)):
        s.line(np.stack([x, neck], 1), width, shade)
        s.line([(0.75, -0.9), (0.75, 0.95)], width, shade)
    s.oval(0.75, -0.9, 0.17, 0.17, SECOND)


def horn(s: Sketch, rng: np.random.Generator) -> None:
    """A coiled tube that opens into a wide flare."""
    r, mouth = rng.uniform(0.4, 0.5), rng.uniform(0.6, 0.75)
    s.line([(-0.35, -r), (-1.0, -r - 0.25)], 0.13, SECOND)
    for width, shade in ((0.24, DARK), (0.16, MAIN)):
        s.ring(-0.35, 0, r, r, width, shade)
    s.ring(-0.35, 0, r * 0.45, r * 0.45, 0.09, SECOND)
    t = np.linspace(0, 1, 9)
    x = -0.35 + 1.2 * t
    half = 0.09 + (mouth - 0.09) * t ** rng.uniform(2, 3)
    y = r * (1 - t) + 0.05 * t
    s.area(np.concatenate([np.stack([x, y - half], 1), np.stack([x, y + half], 1)[::-1]]))
    s.oval(0.85, 0.05, rng.uniform(0.14, 0.22), mouth, LIGHT, 0.07)
    s.oval(0.85, 0.05, 0.07, mouth * 0.55, DARK, 0)


def maracas(s: Sketch, rng: np.random.Generator) -> None:
    """Two patterned balls on crossing sticks."""
    rx, ry, spread = rng.uniform(0.36, 0.44), rng.uniform(0.42, 0.5), rng.uniform(0.5, 0.6)
    bands = rng.random() < 0.5
    for side in (-1, 1):
        s.line([(side * spread, -0.5), (-side * 0.35, 0.95)], 0.17, SECOND)
        s.oval(-side * 0.35, 0.93, 0.12, 0.12, DARK, 0)
    for side in (-1, 1):
        x, y = side * spread, -0.45
        s.oval(x, y, rx, ry)
        if bands:
            for dy, wide in ((-0.17, 0.86), (0.17, 0.86)):
                s.line([(x - rx * wide, y + dy), (x + rx * wide, y + dy)], 0.12, LIGHT)
        else:
            for dx, dy in ((-0.45, -0.3), (0.45, -0.3), (0, 0.1), (-0.45, 0.5), (0.45, 0.5)):
                s.oval(x + dx * rx, y + dy * ry, 0.09, 0.09, LIGHT, 0)


def whistle(s: Sketch, rng: np.random.Generator) -> None:
    """A round chamber with a pea and a slot, a flat mouthpiece along its top."""
    r, height = rng.uniform(0.5, 0.6), rng.uniform(0.3, 0.4)
    s.ring(-1.0, 0.15, 0.16, 0.16, 0.09, DARK)
    s.oval(-0.35, 0.15, r, r, MAIN, 0.08)
    top = 0.15 - r
    s.rectangle(-0.35, top, 1, top + height, MAIN, 0.08)
    s.rectangle(0.72, top, 1, top + height, SECOND)
    s.oval(-0.35, 0.15, r * 0.68, r * 0.68, LIGHT, 0.06)
    s.oval(-0.35 + rng.uniform(-0.1, 0.1), 0.25, r * 0.3, r * 0.3, DARK, 0)
    s.rectangle(0.08, top - 0.03, 0.32, top + height * 0.65, DARK, 0)


def xylophone(s: Sketch, rng: np.random.Generator) -> None:
    """Bars side by side, ever shorter, across two rails."""
    bars = rng.integers(5, 8)
    long, short = rng.uniform(0.75, 0.9), rng.uniform(0.3, 0.42)
    for side in (-1, 1):
        s.line([(-1.05, side * long * 0.62), (1.05, side * short * 0.62)], 0.13, DARK)
    edges = np.linspace(-1, 1, bars + 1)
    for i in range(bars):
        reach = long + (short - long) * i / (bars - 1)
        left, right = edges[i] + 0.035, edges[i + 1] - 0.035
        s.rectangle(left, -reach, right, reach, (MAIN, LIGHT)[i % 2], 0.045)
        for side in (-1, 1):
            s.oval((left + right) / 2, side * reach * 0.62, 0.055, 0.055, DARK, 0)


def bagpipe(s: Sketch, rng: np.random.Generator) -> None:
    """A bag with drones fanned out above it and a chanter below."""
    rx, ry, drones = rng.uniform(0.6, 0.72), rng.uniform(0.36, 0.46), rng.integers(2, 4)
    lean = rng.uniform(0.1, 0.25)
    for angle in np.linspace(-0.75, 0.35, drones):
        foot, tip = (0.6 * angle, 0.1), (1.1 * angle + lean, -1.05)
        s.line([foot, tip], 0.19, DARK)
        s.line([foot, tip], 0.11, LIGHT)
        for t in (0.45, 0.95):
            x, y = (1 - t) * np.array(foot) + t * np.array(tip)
            s.oval(x, y, 0.13, 0.1, SECOND, 0.04)
    s.line([(0.3, 0.3), (0.75, 1.0)], 0.2, SECOND)
    for t in (0.55, 0.75, 0.95):
        s.oval(0.3 + 0.45 * t, 0.3 + 0.7 * t, 0.055, 0.055, DARK, 0)
    s.line([(0.45, 0.15), (0.95, -0.2)], 0.13, DARK)
    s.oval(-0.05, 0.3, rx, ry, MAIN, 0.08)
    for x in np.linspace(-0.3, 0.3, rng.integers(2, 4)):
        s.line([(x - 0.12, 0.3 - ry * 0.7), (x + 0.04, 0.3 + ry * 0.7)], 0.08, SECOND)


def saw(s: Sketch, rng: np.random.Generator) -> None:
    """A toothed blade, bent upwards, in a handle with a hole."""
    bend, teeth = rng.uniform(0.55, 0.85), rng.integers(7, 11)
    t = np.linspace(0, 1, 2 * teeth + 1)
    x, back = -0.45 + 1.5 * t, 0.05 - bend * t**2
    depth = 0.62 - 0.34 * t
    edge = back + depth + np.where(np.arange(len(t)) % 2, 0.13, 0.0)
    s.area(np.concatenate([np.stack([x, back], 1), np.stack([x, edge], 1)[::-1]]), LIGHT, 0.06)
    s.line(np.stack([x, back + 0.14], 1)[2:-2], 0.07, SECOND)
    grip = [(-1.1, 0.05), (-0.85, -0.2), (-0.3, -0.05), (-0.35, 0.72), (-0.8, 0.85), (-1.05, 0.55)]
    s.area(grip, MAIN, 0.08)
    s.oval(-0.72, 0.32, 0.17, rng.uniform(0.2, 0.27), DARK, 0.05)
    for y in (0.1, 0.55):
        s.oval(-0.43, y, 0.055, 0.055, LIGHT, 0)


INSTRUMENTS: dict[str, Callable[[Sketch, np.random.Generator], None]] = {
    f.__name__: f
    for f in (
        *(accordion, bell, drum, gong, guitar, harp, horn, maracas, whistle, xylophone),
        *(bagpipe, saw),
    )
}
"""The categories, in the order of their labels. A smaller set takes the first of them."""


def plant(s: Sketch, rng: np.random.Generator) -> None:
    for angle in np.linspace(-1.1, 1.1, rng.integers(3, 6)):
        x, y = np.sin(angle), -np.cos(angle)
        side = np.array([-y, x]) * 0.16
        s.area([(0, 0.3), (0.5 * x + side[0], 0.5 * y + side[1]), (0.9 * x, 0.9 * y),
                (0.5 * x - side[0], 0.5 * y - side[1])], SECOND)  # fmt: skip
    s.area([(-0.45, 0.25), (0.45, 0.25), (0.3, 0.95), (-0.3, 0.95)])


def chair(s: Sketch, rng: np.random.Generator) -> None:
    for x in (-0.5, 0.5):
        s.line([(x, 0.1), (x * 1.1, 0.95)], 0.14, SECOND)
    s.rectangle(-0.55, -0.95, -0.35, 0.2)
    s.area([(-0.6, 0.05), (0.6, 0.05), (0.7, 0.3), (-0.6, 0.3)])


def lamp(s: Sketch, rng: np.random.Generator) -> None:
    s.line([(0, -0.2), (0, 0.85)], 0.13, SECOND)
    s.area([(-0.25, -0.9), (0.25, -0.9), (0.65, -0.1), (-0.65, -0.1)], LIGHT)
    s.oval(0, 0.85, 0.45, 0.13)


def crate(s: Sketch, rng: np.random.Generator) -> None:
    s.rectangle(-0.8, -0.7, 0.8, 0.7, MAIN, 0.14)
    s.line([(-0.75, -0.65), (0.75, 0.65)], 0.14, SECOND)


def mug(s: Sketch, rng: np.random.Generator) -> None:
    s.ring(0.55, 0.05, 0.3, 0.35, 0.14, DARK)
    s.rectangle(-0.65, -0.6, 0.5, 0.75)
    s.oval(-0.075, -0.6, 0.57, 0.15, LIGHT)


def bottle(s: Sketch, rng: np.random.Generator) -> None:
    s.area([(-0.15, -0.95), (0.15, -0.95), (0.15, -0.45), (0.4, -0.15), (0.4, 0.95),
            (-0.4, 0.95), (-0.4, -0.15), (-0.15, -0.45)])  # fmt: skip
    s.rectangle(-0.4, 0.15, 0.4, 0.6, LIGHT)


FURNITURE = (plant, chair, lamp, crate, mug, bottle)
"""Distractors: they never sound."""
