"""What a user has, compared with what a data set wants: counted by hand on small collections."""

from pathlib import Path

import pytest

from avloc.data_pipelines import registry
from avloc.data_pipelines.checks.doctor import Count, Findings, examine, wanted_files
from avloc.data_pipelines.checks.inspection import FileFacts, inspect_all
from avloc.data_pipelines.collection import Collection, Moment, Object, Recording
from tests.real_annotations import REAL
from tests.videos import write_video

CELLO, FLUTE = 0, 1
CLASSES = ("cello", "flute")
BOX = (0.1, 0.2, 0.5, 0.6)


def facts(content: str = "a", **more) -> FileFacts:
    usual = dict(duration=10.0, rate=25.0, width=64, height=48, has_audio=True)
    return FileFacts(1, 0, content, **usual | more)


def moment(name: str, time: float, *objects: Object) -> Moment:
    return Moment(name, int(time), time, objects)


def collection(**splits) -> Collection:
    return Collection(CLASSES, {name: tuple(split) for name, split in splits.items()})


def only(findings: Findings):
    (split,) = findings.splits.values()
    return split


def test_each_recording_is_counted_once_and_each_class_once():
    here, broken, mute = Path("here.mp4"), Path("broken.mp4"), Path("mute.mp4")
    wanted = collection(
        test=[
            Recording("one", (CELLO,), here),
            Recording("two", (CELLO, FLUTE), None),
            Recording("three", (FLUTE,), broken),
            Recording("four", (FLUTE,), mute),
            Recording("five", (), here),
        ]
    )
    known = {
        here: facts(),
        broken: facts("b", problem="damaged at second 3", good=3.0),
        mute: facts("c", has_audio=False),
    }
    assert wanted_files(wanted) == set(known)
    split = only(examine(wanted, known))
    assert split.count == Count(wanted=5, found=4, missing=1, damaged=2)
    assert split.classes == {
        "cello": Count(2, 1, 1, 0),
        "flute": Count(3, 2, 1, 2),
        Findings.unclassed: Count(1, 1, 0, 0),
    }
    assert split.missing == ["two"]
    assert [(d["id"], d["file"], d["reason"]) for d in split.damaged] == [
        ("three", "broken.mp4", "damaged at second 3"),
        ("four", "mute.mp4", "no sound track"),
    ]
    assert split.items == 20 + 3 + 0  # ten clips of each that is whole, three before the damage


def test_a_picture_needs_its_sound_and_a_sound_may_lie_apart():
    picture, sound, video = Path("a.jpg"), Path("a.wav"), Path("b.mp4")
    wanted = collection(
        test=[
            Recording("both", (), picture, sound),
            Recording("no sound", (), picture),
            Recording("apart", (), video, sound),
        ]
    )
    known = {
        picture: facts("p", has_audio=False, duration=None, rate=None),
        sound: facts("s", width=0, height=0),
        video: facts("v", has_audio=False),
    }
    split = only(examine(wanted, known))
    assert split.count == Count(3, 2, 1, 0) and split.missing == ["no sound"]
    assert split.items == 10 + 10


def test_boxes():
    cello, flute = Object(BOX, CELLO), Object(BOX, FLUTE)
    duet = Recording(
        "duet",
        (CELLO, FLUTE),
        None,
        moments=(
            moment("both", 1, cello, flute),
            moment("one", 2, flute),
            moment("one class twice", 3, flute, flute),
            moment("none", 4),
            moment("placeless", 5, Object(None, CELLO)),
        ),
    )
    solo = Recording(
        "solo",
        (CELLO,),
        None,
        moments=(
            moment("out", 1, Object((-0.1, 0, 0.5, 0.5), CELLO)),
            moment("flat", 2, Object((0.3, 0.2, 0.3, 0.4), CELLO)),
            moment("other", 3, flute),
            moment("rounded", 4, Object((0, 0, 1.0004, 1), CELLO)),
        ),
    )
    boxes = only(examine(collection(test=[duet, solo]), {})).boxes
    assert (boxes.moments, boxes.boxes, boxes.without_box) == (9, 9, 2)
    assert (boxes.several, boxes.one_class) == (5, 2)
    assert (boxes.outside, boxes.empty, boxes.stranger) == (["out"], ["flat"], ["other"])


def test_times():
    slow, cut, turned, long = (Path(f"{name}.mp4") for name in ("slow", "cut", "turned", "long"))
    known = {
        slow: facts("1", rate=10.0, duration=5.0),
        cut: facts("2", duration=3.0),
        turned: facts("3", rotation=90, duration=None),
        long: facts("4", duration=200.0),
    }
    asked = (moment("in", 4, Object(BOX, CELLO)), moment("after", 5, Object(BOX, CELLO)))
    wanted = collection(
        test=[
            Recording("slow", (), slow, moments=asked),
            Recording("cut", (), cut, length=10.0),
            Recording("turned", (), turned),
            Recording("long", (), long, length=10.0),
            Recording("whole", (), long, start=30.0, length=10.0),
        ]
    )
    split = only(examine(wanted, known))
    times = split.times
    assert (times.beyond, times.shorter, times.longer) == (["after"], ["cut"], ["long"])
    assert (times.turned, times.unknown) == (["turned"], ["turned"])
    assert times.rates == {"25": 4, "10": 1} and times.sizes == {"64 x 48": 5}
    assert times.offset == pytest.approx(0.05)  # half of a tenth of a second
    assert split.items == 1 + 3 + 0 + 10 + 10


def test_overlaps_and_equal_files():
    a, b, c = Path("a.mp4"), Path("b.mp4"), Path("c.mp4")
    wanted = collection(
        train=[Recording("one", (), a), Recording("two", (), b)],
        validation=[Recording("two", (), b), Recording("gone", (), None)],
        test=[Recording("three", (), c), Recording("gone", (), None)],
    )
    found = examine(wanted, {a: facts("same"), b: facts("other"), c: facts("same")})
    assert found.overlaps == [
        {"splits": ["train", "validation"], "count": 1, "ids": ["two"]},
        {"splits": ["validation", "test"], "count": 1, "ids": ["gone"]},
    ]
    assert found.duplicates == [
        {"ids": ["one", "three"], "splits": ["test", "train"], "sha256": "same"}
    ]


def test_what_blocks_a_split():
    a, b = Path("a.mp4"), Path("b.mp4")
    late = (moment("late", 50, Object(BOX, CELLO)),)
    wanted = collection(
        fine=[Recording("one", (), a), Recording("two", (), None)],
        gone=[Recording("two", (), None)],
        broken=[Recording("three", (), b)],
        late=[Recording("one", (), a, moments=late)],
        empty=[],
        validation=[],
    )
    found = examine(wanted, {a: facts(), b: facts("b", problem="damaged", good=0.0)})
    assert [sentence.partition(":")[0] for sentence in found.blocked] == [
        *("gone", "broken", "late", "empty")
    ]
    assert found.blocked[3].startswith("empty: the lists have no recording for it")
    assert "none of its 1 recordings was found" in found.blocked[0]
    assert found.notes == ["the lists have no recording for split validation"]


def test_on_real_files(tmp_path):
    """Moments are held against the length that a real file states."""
    path = write_video(tmp_path / "a.mp4", seconds=3, rate=12)
    moments = tuple(moment(f"{s}", s + 0.5, Object(BOX, CELLO)) for s in range(5))
    wanted = collection(
        test=[Recording("a", (CELLO,), path, moments=moments)],
        train=[Recording("a", (CELLO,), path), Recording("b", (FLUTE,), None)],
    )
    found = examine(wanted, inspect_all(wanted_files(wanted)))
    assert found.splits["test"].times.beyond == ["3", "4"]
    assert found.splits["test"].items == found.splits["train"].items == 3
    assert found.splits["test"].times.offset == pytest.approx(1 / 24)
    assert found.blocked == []


@pytest.mark.skipif(REAL is None, reason="the authors' annotation files are not on this machine")
def test_the_published_annotation_of_music(tmp_path):
    """Known figures of MUSIC's tests, without one video."""
    (tmp_path / "lists").symlink_to(REAL / "music")
    found = examine(registry.collection("music", tmp_path), {})
    solo, duet = (found.splits[name].boxes for name in ("test", "duet_test"))
    assert (solo.moments, solo.without_box) == (13_472, 1_116)
    assert (duet.moments, duet.without_box, duet.one_class) == (11_512, 1_228, 5_533)
    assert not (solo.outside or solo.empty or duet.outside or duet.empty)
    assert len(found.blocked) == len(found.splits) == 6
    assert sum(c.wanted for c in found.splits["test"].classes.values()) == 27
