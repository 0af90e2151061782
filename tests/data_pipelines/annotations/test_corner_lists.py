"""The lists of the later benchmarks."""

import json

import pytest

from avloc.data_pipelines.annotations.corner_lists import (
    BoxedFrame,
    Duet,
    Event,
    read_duets,
    read_events,
    read_vggss,
)


def write_vggss(folder, entries):
    path = folder / "vggss.json"
    path.write_text(json.dumps(entries))
    return path


def entry(*boxes, file="aaaaaaaaaaa_000032"):
    return {"file": file, "class": "elk bugling", "bbox": list(boxes)}


def test_vggss_in_order_without_boxes_of_no_area(tmp_path):
    path = write_vggss(
        tmp_path,
        [
            entry([0.5, 0.25, 0.75, 0.375], [0, 0.0, 1.0, 1.005]),
            entry([0.25, 1.0, 0.75, 1.0], file="bbbbbbbbbbb_000000"),
            entry([0.1, 0.2, 0.3, 0.4], file="aaaaaaaaaaa_000002"),
        ],
    )
    assert read_vggss(path) == [
        BoxedFrame(
            "aaaaaaaaaaa_000032", "elk bugling", ((0.25, 0.5, 0.375, 0.75), (0.0, 0.0, 1.0, 1.0))
        ),
        BoxedFrame("bbbbbbbbbbb_000000", "elk bugling", ()),
        BoxedFrame("aaaaaaaaaaa_000002", "elk bugling", ((0.2, 0.1, 0.4, 0.3),)),
    ]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "must be a list"),
        ([3], "entry 0: must be an object, not 3"),
        ([entry(), {"file": "a", "class": "b"}], 'entry 1: the field "bbox" is missing'),
        ([{"bbox": [], "class": "b"}], 'entry 0: the field "file" is missing'),
        ([{"bbox": [], "file": "aaaaaaaaaaa_000002"}], 'entry 0: the field "class" is missing'),
        ([entry([0.1, 0.2, 0.3])], 'entry 0, "bbox": a box has four numbers, not 3'),
        ([entry(file="aaaaaaaaaaa_32")], "entry 0: 'aaaaaaaaaaa_32' is not a YouTube id"),
        ([entry([0.6, 0.6, 0.2, 0.2])], r" 0% plausible as \[xmin, ymin, xmax, ymax\]"),
    ],
)
def test_vggss_that_cannot_be(tmp_path, entries, message):
    path = write_vggss(tmp_path, entries)
    with pytest.raises(ValueError, match=message) as caught:
        read_vggss(path)
    assert str(path) in str(caught.value)


def test_duets(tmp_path):
    path = tmp_path / "vggsound_duet_test.csv"
    path.write_text("aaaaaaaaaaa_000032,elk_bugling,bbbbbbbbbbb_000130,people_coughing\n")
    files = ("aaaaaaaaaaa_000032", "bbbbbbbbbbb_000130")
    assert read_duets(path) == [Duet(files, ("elk_bugling", "people_coughing"))]
    path.write_text("aaaaaaaaaaa_000032,elk_bugling\n")
    with pytest.raises(ValueError, match="line 1: must be ID_START,label,ID_START,label"):
        read_duets(path)
    path.write_text("aaaaaaaaaaa_000032,a,bbbbbbbbbbb,b\n")
    with pytest.raises(ValueError, match="line 1: 'bbbbbbbbbbb' is not a YouTube id"):
        read_duets(path)


def test_events_with_and_without_heading(tmp_path):
    path = tmp_path / "trainSet.txt"
    row = "Race car, auto racing&RUhOCu3LNXM&good&2&10\n"
    events = [Event("Race car, auto racing", "RUhOCu3LNXM", "good", 2.0, 10.0)]
    path.write_text(row)
    assert read_events(path) == events
    path.write_text("Category&VideoID&Quality&StartTime&EndTime\n" + row)
    assert read_events(path) == events
    path.write_text(row + "Church bell&RUhOCu3LNXM&good&2\n")
    with pytest.raises(ValueError, match=r"trainSet\.txt, line 2: must be Category&VideoID"):
        read_events(path)
    path.write_text("Church bell&RUhOCu3LNXM&good&2&x\n")
    with pytest.raises(ValueError, match="line 1: must be a finite number, not 'x'"):
        read_events(path)
