"""The plain layout."""

import json
from pathlib import Path

import pytest

from avloc.data_pipelines.annotations.plain import Item, read_plain
from avloc.data_pipelines.collection import Object


def write_plain(folder, **changes):
    item = {
        "id": "a",
        "frame": "frames/a.jpg",
        "sound": "wav/a.wav",
        "start": 2.5,
        "objects": [
            {"box": [0.5, 0.25, 0.25, 0.5], "category": "flute", "sounding": False},
            {"box": None, "category": "cello", "sounding": True},
        ],
    }
    content = {"classes": ["cello", "flute"], "items": [item | changes]}
    path = folder / "annotations.json"
    path.write_text(json.dumps(content))
    return path


def test_an_item(tmp_path):
    classes, items = read_plain(write_plain(tmp_path))
    assert classes == ("cello", "flute")
    assert items == (
        Item(
            id="a",
            frame=Path("frames/a.jpg"),
            sound=Path("wav/a.wav"),
            start=2.5,
            objects=(
                Object((0.25, 0.5, 0.75, 0.75), 1, sounding=False),
                Object(None, 0, sounding=True),
            ),
        ),
    )


def test_the_start_may_be_left_out(tmp_path):
    path = write_plain(tmp_path, objects=[])
    content = json.loads(path.read_text())
    del content["items"][0]["start"]
    path.write_text(json.dumps(content))
    assert read_plain(path).items[0].start == 0.0


def an_object(**changes):
    return [{"box": [0.1, 0.1, 0.2, 0.2], "category": "cello", "sounding": True} | changes]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 3}, 'item 0, "id": must be a text, not 3'),
        ({"frame": None}, r'item 0 \(a\), "frame": must be a text, not null'),
        ({"frame": "../../a.jpg"}, '"frame": must be a path inside the folder'),
        ({"sound": "/etc/passwd"}, '"sound": must be a path inside the folder'),
        ({"sound": "wav\\a.wav"}, '"sound": must be a path inside the folder, with /'),
        ({"sound": ""}, '"sound": must be a path inside the folder'),
        ({"start": -1}, '"start": must not be below 0, but is -1'),
        ({"start": float("inf")}, '"start": must be a finite number, not Infinity'),
        ({"objects": {}}, r'\(a\), "objects": must be a list'),
        ({"objects": [3]}, "object 0: must be an object, not 3"),
        ({"objects": an_object(category="oboe")}, "'oboe' is not among the classes cello, flute"),
        ({"objects": an_object(sounding=1)}, 'object 0, "sounding": must be true or false, not 1'),
        ({"objects": an_object(box=[1, 2])}, 'object 0, "box": a box has four numbers, not 2'),
        ({"objects": an_object(box=[0.1, 0.2, 0.0, 0.5])}, "lies outside the picture"),
        (
            {"objects": an_object(box=[0.3, 0.3, 0.9, 0.9])},
            r"100% plausible as \[xmin, ymin, xmax, ymax\]",
        ),
        ({"objects": [{"category": "cello", "sounding": True}]}, 'the field "box" is missing'),
        ({"objects": [{"box": None, "category": "cello"}]}, 'the field "sounding" is missing'),
    ],
)
def test_items_that_cannot_be(tmp_path, changes, message):
    path = write_plain(tmp_path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        read_plain(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"items": []}, '"classes" is missing'),
        ({"classes": []}, '"items" is missing'),
        ({"classes": [1], "items": []}, '"classes": must be a text, not 1'),
        ({"classes": ["a", "a"], "items": []}, '"classes": a name appears twice'),
    ],
)
def test_files_that_cannot_be(tmp_path, content, message):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        read_plain(path)


def test_an_id_twice(tmp_path):
    path = write_plain(tmp_path)
    content = json.loads(path.read_text())
    content["items"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="item 1, \"id\": 'a' appears twice"):
        read_plain(path)
