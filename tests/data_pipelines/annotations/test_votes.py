"""Flickr-SoundNet's XML votes."""

import pytest

from avloc.data_pipelines.annotations.votes import read_votes


def write_votes(folder, body):
    path = folder / "1000.xml"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{body}</annotations>')
    return path


def vote(xmin, ymin, xmax, ymax):
    return (
        f"<bbox><type>object</type><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
        f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bbox>"
    )


def test_boxes_of_all_annotators(tmp_path):
    path = write_votes(
        tmp_path,
        f"<annotator><name>1</name>{vote(64, 32, 128, 256)}</annotator>"
        f"<annotator>{vote(0, 0, 256, 64)}{vote(8, 16, 24, 48)}</annotator>"
        "<annotator><bbox/></annotator><annotator/>",
    )
    assert read_votes(path) == (
        (0.125, 0.25, 1.0, 0.5),
        (0.0, 0.0, 0.25, 1.0),
        (0.0625, 0.03125, 0.1875, 0.09375),
    )


def test_named_corners_may_stand_in_any_order(tmp_path):
    body = "<bbox><ymax>64</ymax><xmax>32</xmax><ymin>0</ymin><xmin>16</xmin></bbox>"
    assert read_votes(write_votes(tmp_path, body)) == ((0.0, 0.0625, 0.25, 0.125),)


def test_corners_of_other_names_are_the_last_four(tmp_path):
    body = "<a><bbox><id>1</id><x1>16</x1><y1>0</y1><x2>32</x2><y2>64</y2></bbox></a>"
    assert read_votes(write_votes(tmp_path, body)) == ((0.0, 0.0625, 0.25, 0.125),)


def test_no_box_and_boxes_without_area(tmp_path):
    assert read_votes(write_votes(tmp_path, "<annotator/>")) == ()
    assert read_votes(write_votes(tmp_path, vote(10, 10, 10, 90))) == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<bbox><xmin>1</xmin></bbox>", "bbox 1: a box has xmin, ymin, xmax, ymax, not xmin"),
        (vote(1, 2, 3, 4) + vote(1, "two", 3, 4), "bbox 2: must be a finite number, not 'two'"),
        (vote(1, 2, 3, ""), "bbox 1: must be a finite number, not null"),
        (vote(1, 2, 300, 4), "not inside 256x256 pixels"),
        ("<bbox>", "not XML"),
    ],
)
def test_votes_that_cannot_be(tmp_path, body, message):
    path = write_votes(tmp_path, body)
    with pytest.raises(ValueError, match=message) as caught:
        read_votes(path)
    assert str(path) in str(caught.value)


def test_entities_are_refused_before_they_are_expanded(tmp_path):
    layers = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    path = tmp_path / "bomb.xml"
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "lol">{layers}]><a><bbox>&e11;</bbox></a>')
    with pytest.raises(ValueError, match=r"bomb\.xml: declares a document type"):
        read_votes(path)
    path.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(ValueError, match="not a text file"):
        read_votes(path)
