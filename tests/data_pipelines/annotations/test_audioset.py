"""AudioSet-instrument's two box files, and AudioSet's segments."""

import json

import pytest

from avloc.data_pipelines.annotations.audioset import (
    Segment,
    read_boxes,
    read_categories,
    read_coco,
    read_segments,
)
from avloc.data_pipelines.collection import Object


def write_json(folder, content):
    path = folder / "file.json"
    path.write_text(json.dumps(content))
    return path


def coco(**changes):
    content = {
        "categories": [
            {"name": "Cello", "supercategory": "Cello", "id": 1},
            {"name": "Banjo", "supercategory": "Banjo", "id": 0},
        ],
        "images": [
            {"width": 640, "height": 360, "id": 4},
            {"width": 640, "height": 360, "id": 12},
        ],
        "annotations": [
            {"image_id": 12, "id": 12, "category_id": 1, "bbox": [0.5, 0.25, 0.25, 0.5]},
            {"image_id": 12, "id": 12, "category_id": 0, "bbox": [0.0, 0.0, 0.25, 0.5]},
        ],
    }
    return content | changes


def test_coco(tmp_path):
    path = write_json(tmp_path, coco())
    assert read_categories(path) == ("Banjo", "Cello")
    assert read_coco(path) == {
        4: (),
        12: (Object((0.25, 0.5, 0.75, 0.75), 1), Object((0.0, 0.0, 0.5, 0.25), 0)),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"name": "Cello", "id": 1}]}, r"must count up from 0, not \[1\]"),
        ({"categories": [{"id": 0}]}, 'category 0: the field "name" is missing'),
        ({"images": [{}]}, '"id": must be a whole number, not null'),
        ({"images": []}, r"annotations\[0\]: there is no image 12"),
        (
            {"annotations": [{"image_id": 4, "category_id": 2, "bbox": [0, 0, 1, 1]}]},
            r"annotations\[0\]: category 2 is unknown; there are 2",
        ),
        (
            {"annotations": [{"image_id": 4, "category_id": 1, "bbox": [0, 0, "a", 1]}]},
            r"annotations\[0\], \"bbox\": must be a finite number, not 'a'",
        ),
        ({"annotations": [{"image_id": 4, "category_id": 1}]}, '"bbox" is missing'),
        (
            {"annotations": [{"image_id": 4, "category_id": 1, "bbox": [0.4, 0.4, 0.9, 0.9]}]},
            "read as .x, y, width, height.",
        ),
    ],
)
def test_coco_that_cannot_be(tmp_path, changes, message):
    path = write_json(tmp_path, coco(**changes))
    with pytest.raises(ValueError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)


def test_boxes_by_id_and_second(tmp_path):
    path = write_json(
        tmp_path,
        {
            "bbbbbbbbbbb/9": {"bbox": [{"category": 2, "normbox": [0.5, 0.25, 0.25, 0.5]}]},
            "-aaaaaaaaaa/3": {"bbox": []},
            "bbbbbbbbbbb/0": {"bbox": []},
        },
    )
    assert read_boxes(path) == {
        "-aaaaaaaaaa": {3: ()},
        "bbbbbbbbbbb": {0: (), 9: ((0.25, 0.5, 0.75, 0.75),)},
    }


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"aaaaaaaaaaa/10": {"bbox": []}}, "'aaaaaaaaaaa/10' is not ID/SECOND"),
        ({"aaaaaaaaaaa/1": {}}, 'aaaaaaaaaaa/1: the field "bbox" is missing'),
        ({"aaaaaaaaaaa/1": {"bbox": [{}]}}, 'aaaaaaaaaaa/1: the field "normbox" is missing'),
        ({"aaaaaaaaaaa/1": {"bbox": [{"normbox": [0.4] * 2 + [0.9] * 2}]}}, "read as .x, y, width"),
    ],
)
def test_boxes_that_cannot_be(tmp_path, entries, message):
    with pytest.raises(ValueError, match=message):
        read_boxes(write_json(tmp_path, entries))


def test_segments(tmp_path):
    path = tmp_path / "balanced_train_segments.csv"
    path.write_text(
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"\n'
        '--aE2O5G5WE, 0.000, 10.000, "/m/03fwl"\n'
    )
    assert read_segments(path) == {
        "--PJHxphWEs": Segment(30.0, 40.0, ("/m/09x0r", "/t/dd00088")),
        "--aE2O5G5WE": Segment(0.0, 10.0, ("/m/03fwl",)),
    }


@pytest.mark.parametrize(
    "row",
    [
        "--PJHxphWEs, 30.000, 40.000",
        '--PJHxphWEs, a, 40.000, "/m/0"',
        '--PJHxphWEs, 30.000, 40.000, "/m/0\n--aE2O5G5WE, 0.000, 10.000, "/m/1"',
    ],
)
def test_segments_that_cannot_be(tmp_path, row):
    path = tmp_path / "segments.csv"
    path.write_text("# YTID, start_seconds, end_seconds, positive_labels\n" + row)
    with pytest.raises(ValueError, match=r"segments\.csv, line 2: must be"):
        read_segments(path)


def test_segments_that_are_no_text(tmp_path):
    path = tmp_path / "segments.csv"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(ValueError, match=r"segments\.csv: not a text file"):
        read_segments(path)
