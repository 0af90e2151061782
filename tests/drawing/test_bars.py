import re

import pytest

from avloc.drawing.bars import Bars, bars_svg
from avloc.drawing.page import write_report
from tests.drawing.test_page import Page

BARS = Bars("Recordings", {"cello": [6, 2], "<flute>": [0, 3]}, ["found", "missing"])


def test_lengths_are_in_proportion_and_parts_lie_end_to_end():
    drawn = bars_svg(BARS)
    page = Page(drawn)
    assert page.open == []
    (found, missing, other) = page.of("rect")
    assert float(found["width"]) == pytest.approx(3 * float(missing["width"]), abs=0.2)
    assert float(other["width"]) == pytest.approx(float(found["width"]) / 2, abs=0.2)
    end = float(found["x"]) + float(found["width"])
    assert float(missing["x"]) == pytest.approx(end, abs=0.2)
    assert other["x"] == found["x"] and float(other["y"]) > float(found["y"])
    assert "var(--series-1)" in missing["style"] == other["style"]
    for text in ("cello, found: 6", "cello, missing: 2", "<flute>, missing: 3"):
        assert text in page.text


def test_every_bar_lies_in_the_picture():
    many = Bars("Many", {f"category number {i}": [i, 10_000] for i in range(50)}, ["a", "b"])
    drawn = bars_svg(many)
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', drawn).groups())
    for bar in Page(drawn).of("rect"):
        assert float(bar["x"]) + float(bar["width"]) <= width
        assert float(bar["y"]) + float(bar["height"]) <= height


def test_nothing_to_count():
    assert Page(bars_svg(Bars("None", {}, ["found"]))).of("rect") == []
    assert Page(bars_svg(Bars("None", {"cello": [0]}, ["found"]))).of("rect") == []


@pytest.mark.parametrize("lengths", [[1], [1, -1], [1, 2, 3]])
def test_wrong_lengths(lengths):
    with pytest.raises(ValueError, match="row 'cello' needs 2 lengths of 0 or more"):
        Bars("Recordings", {"cello": lengths}, ["found", "missing"])


def test_in_a_report(tmp_path):
    text = write_report(tmp_path / "page.html", title="Page", bars=[BARS]).read_text()
    page = Page(text)
    assert page.open == [] and len(page.of("rect")) == 3
    assert [item.strip() for item in re.findall(r"</i>(\w+)</li>", text)] == ["found", "missing"]
