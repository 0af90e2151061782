"""Boxes of a folder's own videos."""

import json

import pytest

from avloc.data_pipelines.annotations.seconds import Boxed, read_seconds

ENTRY = {"video": "cat/a.mp4", "second": 2, "class": "cat", "bbox": [0.5, 0.25, 0.25, 0.5]}


def write(folder, *entries):
    path = folder / "annotations.json"
    path.write_text(json.dumps(list(entries)))
    return path


def test_entries_of_a_second_come_together(tmp_path):
    other = {"video": "cat/a.mp4", "second": 2, "bbox": [0, 0, 0.5, 1], "sounding": False}
    assert read_seconds([write(tmp_path, ENTRY, other)], ["cat"]) == {
        ("cat/a.mp4", 2): [
            Boxed((0.25, 0.5, 0.75, 0.75), "cat"),
            Boxed((0.0, 0.0, 1.0, 0.5), None, sounding=False),
        ]
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"video": 3}, 'entry 1, "video": must be a text, not 3'),
        ({"second": None}, 'entry 1, "second": must be a whole number, not null'),
        ({"second": 0.5}, 'entry 1, "second": must be a whole number, not 0.5'),
        ({"second": -1}, 'entry 1, "second": must not be below 0, but is -1'),
        (
            {"class": "cow"},
            "entry 1, \"class\": 'cow' is not a folder of videos; there are cat, dog",
        ),
        ({"bbox": [0, 0, 1]}, 'entry 1, "bbox": a box has four numbers, not 3'),
        ({"bbox": [0, 0, "x", 1]}, "entry 1, \"bbox\": must be a finite number, not 'x'"),
        ({"bbox": [1.2, 0, 0.1, 0.1]}, 'entry 1, "bbox": [1.2, 0.0, 0.1, 0.1] lies outside'),
        ({"sounding": 1}, 'entry 1, "sounding": must be true or false, not 1'),
    ],
)
def test_bad_entries_are_named(tmp_path, changes, message):
    path = write(tmp_path, ENTRY, ENTRY | changes)
    with pytest.raises(ValueError) as error:
        read_seconds([path], ["dog", "cat"])
    assert str(error.value).startswith(f"{path}, {message}")


@pytest.mark.parametrize("field", ["video", "second", "bbox"])
def test_missing_fields_are_named(tmp_path, field):
    path = write(tmp_path, {name: value for name, value in ENTRY.items() if name != field})
    with pytest.raises(ValueError, match=f'entry 0: the field "{field}" is missing'):
        read_seconds([path], [])


def test_corners_are_not_taken_for_sizes(tmp_path):
    corners = [ENTRY | {"bbox": [0.5, 0.5, 0.9, 0.9]}] * 3
    with pytest.raises(ValueError, match=r"0% plausible as .x, y, width, height."):
        read_seconds([write(tmp_path, *corners)], [])


def test_another_layout_is_refused(tmp_path):
    path = tmp_path / "annotations.json"
    path.write_text('{"classes": [], "items": []}')
    with pytest.raises(ValueError, match="must be a list"):
        read_seconds([path], [])
