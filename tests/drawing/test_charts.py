"""No label is cut or lies on another: measured in a real font, and a wide one."""

import math
import re
from itertools import pairwise
from pathlib import Path

import matplotlib
import pytest
from PIL import ImageFont

from avloc.drawing.bars import Bars, bars_svg
from avloc.drawing.charts import Curve, short, svg

DEJAVU = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
FONT = ImageFont.truetype(str(DEJAVU), 140)  # ten times the size, as lengths are rounded
CURVES = [
    Curve("", {"train": [(i, 2.5 * math.exp(-i / 9)) for i in range(1, 31)]}, "epoch", "loss"),
    Curve("", {"": [(i * 5000, 1e6 * i) for i in range(11)]}, "step", "examples"),
    Curve("", {"": [(i, 1e-5 * i + 1.2345e-3) for i in range(11)]}, "step " * 30, "loss " * 30),
    Curve("", {"": [(i * 2.5e6, -i) for i in range(5)]}, "WWWW" * 30, "WWWW" * 30),
    Curve("", {"": [(0.00012 * i, 0.5) for i in range(9)]}, "rate", "accuracy"),
    Curve("", {"": [(123456 + i, 7e12 * i) for i in range(9)]}, "step", "bytes"),
    Curve("", {"": []}, "epoch", "loss"),
]
BARS = [
    Bars("", {"cello": [6, 2], "a category with a long name": [12345, 120_000]}, ["a", "b"]),
    Bars("", {"W" * 40: [1.5e6], "b": [123_456_789]}, ["records"]),
    Bars("", {"一" * 40: [1]}, ["records"]),
]
TEXT = re.compile(r"<text([^>]*)>([^<]*)(<title>)?")


def labels(drawn):
    """Left end, right end and height of each text across the picture, and what it says."""
    for attributes, text, _ in TEXT.findall(drawn):
        known = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        if "transform" in known:
            continue
        length = FONT.getlength(text) / 10
        start = {"end": 1, "middle": 0.5}.get(known.get("text-anchor"), 0) * length
        yield float(known["x"]) - start, float(known["x"]) - start + length, known["y"], text


@pytest.mark.parametrize("drawn", [*map(svg, CURVES), *map(bars_svg, BARS)])
def test_every_label_lies_in_the_picture_and_on_no_other(drawn):
    width = float(re.search(r'viewBox="0 0 (\d+) ', drawn)[1])
    lines = {}
    for left, right, y, text in labels(drawn):
        assert left >= 0 and right <= width, text
        lines.setdefault(y, []).append((left, right, text))
    for line in lines.values():
        line.sort()
        for (_, end, text), (begin, _, other) in pairwise(line):
            assert end < begin, (text, other)


@pytest.mark.parametrize("curve", CURVES)
def test_the_label_of_the_y_axis_fits_and_stands_beside_the_numbers(curve):
    drawn = svg(curve)
    height = float(re.search(r'viewBox="0 0 \d+ (\d+)"', drawn)[1])
    [(across, down, text)] = re.findall(
        r'translate\((\d+) ([\d.]+)\) rotate\(-90\)" text-anchor="middle">([^<]*)', drawn
    )
    half = FONT.getlength(text) / 20
    assert half <= float(down) <= height - half
    numbers = [left for left, _, y, _ in labels(drawn) if float(y) < height - 30]
    assert min(numbers) > float(across)


def test_what_is_shortened_is_whole_on_hovering():
    drawn = svg(Curve("", {}, "one & " * 30, "short"))
    assert "one &amp; one &amp;" in drawn and f"…<title>{'one &amp; ' * 30}</title>" in drawn
    assert ">short</text>" in drawn


def test_the_first_and_the_last_number_of_an_axis():
    drawn = svg(Curve("", {"": [(0, 0), (50_000, 1)]}, "step", ""))
    assert ">50k</text>" in drawn and ">0</text>" in drawn


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.3, "0.3"), (-1500.0, "-1500"), (50_000.0, "50k"), (1.5e6, "1.5M"), (-2e7, "-20M")],
)
def test_numbers_in_few_letters(value, words):
    assert short(value) == words
