"""The authors' own files, whole. They are not ours to ship: see `tests.real_annotations`."""

import json
from collections import Counter
from itertools import combinations

import pytest

from avloc.data_pipelines.annotations.audioset import read_boxes, read_categories, read_coco
from avloc.data_pipelines.annotations.boxes import check_order, from_corners, from_xywh, has_area
from avloc.data_pipelines.annotations.frame_rate import feasible_rates, fit_rate
from avloc.data_pipelines.annotations.music import (
    MUSIC_CLASSES,
    disagreeing_boxes,
    read_annotated_frames,
    read_pairs,
    read_videos,
)
from avloc.data_pipelines.annotations.overlaps import overlaps
from tests.real_annotations import REAL

pytestmark = pytest.mark.skipif(REAL is None, reason="the authors' annotation files are not here")

LENGTHS = {
    "music/solo_pairs": 489,
    "music/solo_training_1": 217,
    "music/solo_training_2": 223,
    "music/solo_testing": 27,
    "music/solo_validation": 49,
    "music/duet_pairs_train": 124,
    "music/duet_pairs_val": 17,
    "vggsound/trainsolo": 14349,
    "vggsound/trainsyn": 14407,
    "vggsound/train": 29189,
    "vggsound/eval": 2787,
}


@pytest.fixture(scope="module")
def frames():
    files = {name: REAL / "music" / f"{name}.json" for name in ("solotest", "duettest")}
    return {name: read_annotated_frames(path, MUSIC_CLASSES) for name, path in files.items()}


def moments_of(videos):
    return [moment for moments in videos.values() for moment in moments]


def rows_of(name):
    """Every box of a file, as it stands there."""
    if name == "multi_source_coco":
        content = json.loads((REAL / "audioset_instrument" / f"{name}.json").read_text())
        return [annotation["bbox"] for annotation in content["annotations"]]
    folder = "audioset_instrument" if name == "audioset_box" else "music"
    content = json.loads((REAL / folder / f"{name}.json").read_text())
    return [box["normbox"] for entry in content.values() for box in entry["bbox"]]


@pytest.mark.parametrize(
    ("name", "videos", "count", "per_frame"),
    [
        ("solotest", 27, 13472, {0: 1116, 1: 12356}),
        ("duettest", 16, 11512, {0: 1228, 1: 5533, 2: 4751}),
    ],
)
def test_annotated_frames(frames, name, videos, count, per_frame):
    moments = moments_of(frames[name])
    assert len(frames[name]) == videos
    assert len({moment.name for moment in moments}) == count
    assert Counter(len(moment.objects) for moment in moments) == per_frame
    assert Counter(len({o.label for o in moment.objects}) for moment in moments) == per_frame
    assert all(has_area(o.box) for moment in moments for o in moment.objects)


def test_annotated_instruments(frames):
    solo, duet = (
        Counter(MUSIC_CLASSES[o.label] for m in moments_of(frames[name]) for o in m.objects)
        for name in ("solotest", "duettest")
    )
    assert solo == {
        "acoustic_guitar": 3695,
        "cello": 2312,
        "accordion": 2113,
        "saxophone": 1403,
        "trumpet": 1114,
        "flute": 918,
        "violin": 801,
    }
    assert set(duet) == set(solo) - {"accordion"}


@pytest.mark.parametrize("name", ["solotest", "duettest"])
def test_labels_are_those_of_the_lists_of_videos(frames, name):
    kind = name.removesuffix("test")
    videos = read_videos(REAL / "music" / f"MUSIC_{kind}_videos.json")
    for id, moments in frames[name].items():
        named = {MUSIC_CLASSES[o.label] for moment in moments for o in moment.objects}
        assert named <= set(videos[id]), id


@pytest.mark.parametrize("name", ["solotest", "duettest"])
def test_every_video_counts_thirty_frames_a_second_from_0(frames, name):
    within = Counter()
    for id, moments in frames[name].items():
        numbers = [(int(m.start), int(m.name[-9:-4])) for m in moments]
        low, high = feasible_rates(numbers)
        assert low < high == 30, id
        assert fit_rate(numbers) == 30
        last = max(second for second, _ in numbers)
        assert low > 30 * (1 - 1 / (last + 1)), id
        # Counted from 1 no rate would fit.
        low, high = feasible_rates((second, number - 1) for second, number in numbers)
        assert low >= high
        for moment, (second, number) in zip(moments, numbers, strict=True):
            assert moment.time == number / 30
            within[number - 30 * second] += 1
    # Four frames a second, a whole number of frames apart.
    assert set(within) == {0, 7, 14, 21}
    assert len(set(within.values())) == 1


@pytest.mark.parametrize("name", ["solotest", "duettest"])
def test_pixel_boxes_agree_everywhere(name):
    assert disagreeing_boxes(REAL / "music" / f"{name}.json") == []


@pytest.mark.parametrize(
    ("name", "count", "empty"),
    [
        ("solotest", 12356, 6530),
        ("duettest", 15035, 10021),
        ("audioset_box", 7403, 4718),
        ("multi_source_coco", 8038, 5109),
    ],
)
def test_read_as_corners_most_boxes_would_be_empty(name, count, empty):
    rows = rows_of(name)
    assert len(rows) == count
    assert all(has_area(from_xywh(row)) for row in rows)
    assert sum(not has_area(from_corners(row)) for row in rows) == empty


@pytest.mark.parametrize("name", ["solotest", "duettest", "audioset_box", "multi_source_coco"])
def test_the_order_is_told_in_both_directions(name):
    path = REAL / f"{name}.json"
    rows = rows_of(name)
    corners = [[x, y, x + w, y + h] for x, y, w, h in rows]
    check_order(rows, "xywh", path)
    check_order(corners, "corners", path)
    with pytest.raises(ValueError, match=r"100% plausible as \[x, y, width, height\]"):
        check_order(rows, "corners", path)
    with pytest.raises(ValueError, match=r"100% plausible as \[xmin, ymin, xmax, ymax\]"):
        check_order(corners, "xywh", path)


def test_a_file_of_corners_is_refused(tmp_path):
    entries = json.loads((REAL / "music" / "duettest.json").read_text())
    for entry in entries.values():
        for box in entry["bbox"]:
            x, y, width, height = box["normbox"]
            box["normbox"] = [x, y, x + width, y + height]
    path = tmp_path / "duettest.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"duettest\.json: its 15035 boxes are 23% plausible as"):
        read_annotated_frames(path, MUSIC_CLASSES)


def test_lists_of_videos():
    solo = read_videos(REAL / "music" / "MUSIC_solo_videos.json")
    duet = read_videos(REAL / "music" / "MUSIC_duet_videos.json")
    assert (len(solo), len(duet), len(solo.keys() & duet.keys())) == (536, 149, 0)
    assert {names for names in solo.values()} == {(name,) for name in MUSIC_CLASSES}
    assert {len(names) for names in duet.values()} == {2}
    assert {name for names in duet.values() for name in names} <= set(MUSIC_CLASSES)


def test_lists_of_pairs_and_what_they_share(frames):
    ids = {name: read_pairs(REAL / f"{name}.txt") for name in LENGTHS}
    assert {name: len(found) for name, found in ids.items()} == LENGTHS
    shared = {
        (a, b): len(set(ids[a]) & set(ids[b]))
        for a, b in combinations(ids, 2)
        if set(ids[a]) & set(ids[b])
    }
    assert shared == {
        ("music/solo_pairs", "music/solo_training_1"): 217,
        ("music/solo_pairs", "music/solo_training_2"): 223,
        ("music/solo_pairs", "music/solo_testing"): 27,
        ("music/solo_pairs", "music/solo_validation"): 49,
        ("music/solo_testing", "music/solo_validation"): 27,
        ("vggsound/trainsolo", "vggsound/train"): 14349,
        ("vggsound/trainsyn", "vggsound/train"): 14407,
    }
    assert set(ids["music/solo_testing"]) == set(frames["solotest"])
    # One of the seventeen duets for testing was not annotated.
    assert set(ids["music/duet_pairs_val"]) - set(frames["duettest"]) == {"8DHG_hVSw1o"}
    splits = {name: ids[f"music/solo_{name}"] for name in ("training_1", "validation", "testing")}
    (sentence,) = overlaps(splits)
    assert sentence.startswith("27 ids are in both validation (49) and testing (27): ")


def test_audioset_frames_are_one_set_under_two_namings():
    folder = REAL / "audioset_instrument"
    boxes = read_boxes(folder / "audioset_box.json")
    images = read_coco(folder / "multi_source_coco.json")
    names = read_categories(folder / "multi_source_coco.json")
    assert " ".join(names) == (
        "Banjo Cello Drum Guitar Harp Harmonica Oboe Piano Saxophone Trombone Trumpet Violin Flute "
        "Accordion Horn"
    )
    assert len(boxes) == 566
    assert sum(map(len, boxes.values())) == len(images) == 4503
    seconds = Counter(second for found in boxes.values() for second in found)
    assert set(seconds) == set(range(10))
    assert min(seconds.values()) > 440

    id_of = dict(zip(sorted({number // 10 for number in images}), sorted(boxes), strict=True))
    extra = 0
    for number, objects in images.items():
        found = set(boxes[id_of[number // 10]][number % 10])
        assert found <= {o.box for o in objects}, number
        extra += len(objects) - len(found)
    assert extra == 635


def test_audioset_box_numbers_its_categories_in_its_own_order():
    folder = REAL / "audioset_instrument"
    names = read_categories(folder / "multi_source_coco.json")
    images = read_coco(folder / "multi_source_coco.json")
    content = json.loads((folder / "audioset_box.json").read_text())
    ids = sorted({key[:11] for key in content})
    id_of = dict(zip(sorted({number // 10 for number in images}), ids, strict=True))
    pairs = Counter()
    for number, objects in images.items():
        named = {o.box: names[o.label] for o in objects}
        for box in content[f"{id_of[number // 10]}/{number % 10}"]["bbox"]:
            pairs[box["category"], named[from_xywh(box["normbox"])]] += 1
    assert sum(pairs.values()) == 7403
    meant = {n: {name for number, name in pairs if number == n} for n in range(13)}
    assert meant.pop(10) == {"Trumpet", "Flute"}
    assert " ".join(name for found in meant.values() for name in found) == (
        "Banjo Cello Drum Guitar Harp Harmonica Piano Saxophone Trombone Violin Accordion Horn"
    )
