"""The report is one HTML file that loads nothing."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from avloc.drawing.charts import Curve, svg, ticks
from avloc.drawing.page import Picture, write_report
from avloc.drawing.table import Cell, Table

VOID = {"meta", "img"}
TABLE = Table("Scores", ["", "IoU@0.5"], [["ours", Cell("61.2", "[55.0, 66.1]")]], "A <note>.")
CURVE = Curve("Loss", {"train": [(0, 2.0), (1, 1.0)], "a & b": [(0, 1.5)]}, "epoch", "nats")


class Page(HTMLParser):
    """Collects tags and text, and checks that every tag is closed in turn."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)


@pytest.fixture
def source(tmp_path, picture):
    path = write_report(
        tmp_path / "run" / "report.html",
        title="Run <1>",
        config_text="width = 16 & more",
        tables=[TABLE],
        curves=[CURVE],
        pictures=[Picture('a "violin"', picture)],
        notes=["Trained < 8 minutes."],
    )
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_it_is_whole_and_says_everything(source):
    page = Page(source)
    assert page.open == []
    for text in ("Run <1>", "61.2", "[55.0, 66.1]", "A <note>.", "width = 16 & more", "a & b"):
        assert text in page.text
    assert "Trained < 8 minutes." in page.text


def test_it_loads_nothing(source):
    page = Page(source)
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object"}
        assert "href" not in attributes and "srcset" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
    assert not re.search(r"https?:|url\(|@import", source)


def test_pictures_come_back_pixel_for_pixel(source, picture):
    (attributes,) = Page(source).of("img")
    data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), picture)
    assert attributes["alt"] == 'a "violin"'


def test_every_series_is_drawn_and_placed(source):
    lines = [attributes["points"].split() for attributes in Page(source).of("polyline")]
    assert [len(line) for line in lines] == [2, 1]
    (x0, y0), (x1, y1) = (tuple(map(float, point.split(","))) for point in lines[0])
    assert x1 > x0 and y1 > y0  # down the page: the loss fell
    assert lines[1][0].startswith(f"{x0}")


def test_an_empty_report_and_empty_curves_are_still_a_page(tmp_path):
    curve = Curve("Nothing yet", {"train": [(0, float("nan"))]}, "epoch", "loss")
    page = Page(write_report(tmp_path / "r.html", title="Empty", curves=[curve]).read_text())
    assert page.open == []
    assert page.of("polyline")[0]["points"] == ""


def test_a_wrong_picture_is_named_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"'grey' must be \[H, W, 3\] uint8, not \(4, 4\)"):
        write_report(
            tmp_path / "r.html", title="", pictures=[Picture("grey", np.zeros((4, 4), np.uint8))]
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        ([3.0, 17.0], [0.0, 5.0, 10.0, 15.0, 20.0]),
        ([-0.02, 0.07], [-0.02, 0.0, 0.02, 0.04, 0.06, 0.08]),
    ],
)
def test_ticks_by_hand(values, expected):
    assert ticks(values) == expected


@pytest.mark.parametrize("values", [[], [0.0], [5.0, 5.0], [1e-7, 3e-7], [-4e5, 9e6], [0.1, 0.3]])
def test_ticks_enclose_the_values_in_few_even_steps(values):
    found = ticks(values)
    assert 3 <= len(found) <= 8
    np.testing.assert_allclose(np.diff(found), found[1] - found[0])
    assert all(found[0] <= value <= found[-1] for value in values)


def test_many_series_reuse_defined_colours():
    curve = Curve("", {str(i): [(0, i), (1, i)] for i in range(10)}, "", "")
    used = set(re.findall(r"var\((--series-\d+)\)", svg(curve)))
    assert used == {f"--series-{i}" for i in range(8)}
