"""MUSIC's lists and annotated frames, in files as the authors write them."""

import json

import pytest

from avloc.data_pipelines.annotations.music import (
    MUSIC_CLASSES,
    disagreeing_boxes,
    read_annotated_frames,
    read_pairs,
    read_videos,
)
from avloc.data_pipelines.collection import Object

CELLO = {"box": [160, 90, 320, 180], "normbox": [0.25, 0.25, 0.5, 0.5], "category_id": 1}
FLUTE = {"box": [64, 36, 64, 72], "normbox": [0.1, 0.1, 0.1, 0.2], "category_id": 12}


def write_frames(folder, frames, name="solotest.json"):
    path = folder / name
    entries = {k: {"bbox": boxes, "wdith": 640, "height": 360} for k, boxes in frames.items()}
    path.write_text(json.dumps(entries))
    return path


def test_videos_of_solos_and_duets(tmp_path):
    path = tmp_path / "videos.json"
    videos = {"tuba": ["aaaaaaaaaaa"], "flute violin": ["bbbbbbbbbbb", "ccccccccccc"]}
    path.write_text(json.dumps({"version": 1.0, "videos": videos}))
    assert read_videos(path) == {
        "aaaaaaaaaaa": ("tuba",),
        "bbbbbbbbbbb": ("flute", "violin"),
        "ccccccccccc": ("flute", "violin"),
    }


def test_a_video_under_two_categories_has_both(tmp_path):
    path = tmp_path / "videos.json"
    path.write_text(json.dumps({"videos": {"tuba": ["aaaaaaaaaaa"], "erhu": ["aaaaaaaaaaa"]}}))
    assert read_videos(path) == {"aaaaaaaaaaa": ("tuba", "erhu")}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object"),
        ("{}", '"videos" is missing'),
        ('{"videos": {"tuba": "aaaaaaaaaaa"}}', "tuba: must be a list"),
        ('{"videos": {"tuba": [3]}}', "tuba: must be a text, not 3"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_videos_that_cannot_be(tmp_path, content, message):
    path = tmp_path / "videos.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_videos(path)
    assert str(path) in str(caught.value)


def test_pairs_of_both_namings_in_order(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text(
        "bbbbbbbbbbb_0_1000.flac bbbbbbbbbbb_0_1000.mp4\r\n"
        "\r\n"
        "-_-aaaaaaaa.flac -_-aaaaaaaa.mp4\n"
        "bbbbbbbbbbb.flac bbbbbbbbbbb.mp4"
    )
    assert read_pairs(path) == ["bbbbbbbbbbb", "-_-aaaaaaaa"]


def test_pairs_that_cannot_be(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("aaaaaaaaaaa.flac aaaaaaaaaaa.mp4\naaaaaaaaaaa.flac\n")
    with pytest.raises(ValueError, match=r"pairs\.txt, line 2: must be a sound file and a video"):
        read_pairs(path)
    path.write_text("aaaaaaaaaaa.flac bbbbbbbbbbb.mp4")
    with pytest.raises(ValueError, match="line 1: the sound file is of aaaaaaaaaaa, but the video"):
        read_pairs(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        read_pairs(path)


def test_annotated_frames(tmp_path):
    path = write_frames(
        tmp_path,
        {
            "bbbbbbbbbbb_0_1000/frame_003/00097.jpg": [CELLO, FLUTE],
            "aaaaaaaaaaa_0_1000/frame_000/00021.jpg": [],
            "bbbbbbbbbbb_0_1000/frame_000/00000.jpg": [FLUTE],
        },
    )
    videos = read_annotated_frames(path, ("flute", "cello"))
    assert list(videos) == ["bbbbbbbbbbb", "aaaaaaaaaaa"]
    first, second = videos["bbbbbbbbbbb"]
    assert (first.name, first.start, first.time) == (
        "bbbbbbbbbbb_0_1000/frame_000/00000.jpg",
        0.0,
        0.0,
    )
    assert (second.start, second.time) == (3.0, 97 / 30)
    assert second.objects[0] == Object((0.25, 0.25, 0.75, 0.75), 1, sounding=True)
    assert second.objects[1].label == 0
    assert videos["aaaaaaaaaaa"][0].objects == ()


def test_the_time_is_by_the_rate_of_the_video(tmp_path):
    numbers = [25 * second + n for second in range(40) for n in (0, 6, 12, 18)]
    keys = [f"aaaaaaaaaaa_0_1000/frame_{n // 25:03d}/{n:05d}.jpg" for n in numbers]
    moments = read_annotated_frames(
        write_frames(tmp_path, {key: [CELLO] for key in keys}), MUSIC_CLASSES
    )["aaaaaaaaaaa"]
    assert [moment.time for moment in moments] == [n / 25 for n in numbers]
    assert [moment.start for moment in moments] == [float(n // 25) for n in numbers]


KEY = "aaaaaaaaaaa_0_1000/frame_000/00007.jpg"


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ({KEY: [{**CELLO, "category_id": 2}]}, "category 2 is unknown"),
        ({KEY: [{**CELLO, "category_id": True}]}, '"category_id": must be a whole number'),
        ({KEY: [{**CELLO, "category_id": 11}]}, "violin is not among the classes cello, flute"),
        ({KEY: [{**CELLO, "normbox": [0.1, 0.2, 0.3]}]}, "four numbers, not 3"),
        ({KEY: [{**CELLO, "normbox": [0.1, 0.2, 0.3, float("nan")]}]}, "finite number, not NaN"),
        ({KEY: [{**CELLO, "normbox": [0.1, 0.2, 0.3, 10**400]}]}, "finite number, not 1000"),
        ({KEY: [{"category_id": 1}]}, '"normbox" is missing'),
        ({KEY: ["cello"]}, "must be an object, not 'cello'"),
    ],
)
def test_frames_that_cannot_be(tmp_path, frames, message):
    path = write_frames(tmp_path, frames)
    with pytest.raises(ValueError, match=message) as caught:
        read_annotated_frames(path, ("cello", "flute"))
    assert f"{path}, {KEY}" in str(caught.value)


def test_keys_that_cannot_be(tmp_path):
    path = write_frames(tmp_path, {"aaaaaaaaaaa/7.jpg": [CELLO]})
    with pytest.raises(ValueError, match=r"the key 'aaaaaaaaaaa/7.jpg' is not ID_0_1000/frame"):
        read_annotated_frames(path, MUSIC_CLASSES)
    path = write_frames(
        tmp_path,
        {
            "aaaaaaaaaaa_0_1000/frame_001/00030.jpg": [],
            "aaaaaaaaaaa_0_1000/frame_003/00031.jpg": [],
        },
    )
    with pytest.raises(ValueError, match="no frame rate fits the frame numbers of aaaaaaaaaaa"):
        read_annotated_frames(path, MUSIC_CLASSES)


def test_corners_are_refused(tmp_path):
    box = {"normbox": [0.4, 0.4, 0.9, 0.9], "category_id": 1}
    with pytest.raises(ValueError, match=r"100% plausible as \[xmin, ymin, xmax, ymax\]"):
        read_annotated_frames(write_frames(tmp_path, {KEY: [box]}), MUSIC_CLASSES)


def test_boxes_that_disagree_with_their_pixels(tmp_path):
    other = "aaaaaaaaaaa_0_1000/frame_000/00014.jpg"
    moved = {**FLUTE, "box": [66, 36, 64, 72]}
    path = write_frames(tmp_path, {KEY: [CELLO, FLUTE], other: [CELLO, moved]})
    assert disagreeing_boxes(path) == [other]
