"""What each published data set wants of a folder, from files in the authors' formats."""

import json
from collections import Counter
from pathlib import Path

import pytest

from avloc.data_pipelines.builders.audioset_instrument import (
    audioset_instrument_dataset_builder as audio,
)
from avloc.data_pipelines.builders.ave import ave_dataset_builder as ave
from avloc.data_pipelines.builders.daily_life import daily_life_dataset_builder as daily_life
from avloc.data_pipelines.builders.flickr_soundnet import flickr_soundnet_dataset_builder as flickr
from avloc.data_pipelines.builders.realistic_music import (
    realistic_music_dataset_builder as realistic,
)
from avloc.data_pipelines.builders.vggsound import vggsound_dataset_builder as vggsound
from avloc.data_pipelines.builders.vggss import vggss_dataset_builder as vggss
from avloc.data_pipelines.collection import Folder, Object
from tests.real_annotations import REAL

VGGSS = [
    {"file": "AAAAAAAAAA0_000030", "class": "dog barking", "bbox": [[0.1, 0.2, 0.5, 0.8]]},
    {"file": "AAAAAAAAAA1_000000", "class": "cat purring", "bbox": [[0, 0, 0.25, 0.5]]},
]


def fill(folder: Path, files: dict[str, str | object]) -> Folder:
    """Writes files: text as it is, anything else as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Folder(folder)


def ids(collection) -> dict[str, list[str]]:
    return {split: [r.id for r in part] for split, part in collection.splits.items()}


def pairs(*numbers: int) -> str:
    return "".join(f"AAAAAAAAAA{n}.flac AAAAAAAAAA{n}.mp4\n" for n in numbers)


VGGSOUND = {
    "lists/trainsolo.txt": pairs(3, 4),
    "lists/trainsyn.txt": pairs(5),
    "lists/eval.txt": pairs(0, 1),
}
CSV = (
    'AAAAAAAAAA0,30,"dog barking",test\nAAAAAAAAAA1,0,"cat purring",test\n'
    'AAAAAAAAAA3,10,"dog barking",train\nAAAAAAAAAA4,5,"people eating, noisily",train\n'
    'AAAAAAAAAA5,20,"cat purring",train\n'
    'BBBBBBBBBBB,0,"zebra braying",test\n'
)


def test_vggsound_takes_categories_from_its_csv_and_boxes_from_vggss(tmp_path):
    videos = ("AAAAAAAAAA0_000030.mp4", "AAAAAAAAAA3.webm", "AAAAAAAAAA5_000020.mp4")
    folder = fill(
        tmp_path,
        VGGSOUND | {"vggsound.csv": CSV, "vggss.json": VGGSS} | {f"v/{v}": "" for v in videos},
    )
    found = vggsound.collection(folder)
    assert found.classes == ("cat purring", "dog barking", "people eating, noisily")
    assert ids(found) == {
        "train": ["AAAAAAAAAA3", "AAAAAAAAAA4"],
        "synthesis": ["AAAAAAAAAA5"],
        "test": ["AAAAAAAAAA0", "AAAAAAAAAA1"],
    }
    assert [r.labels for part in found.splits.values() for r in part] == [
        (1,),
        (2,),
        (0,),
        (1,),
        (0,),
    ]
    names = [r.path and r.path.name for part in found.splits.values() for r in part]
    assert names == ["AAAAAAAAAA3.webm", None, "AAAAAAAAAA5_000020.mp4", videos[0], None]
    dog = found.splits["test"][0]
    assert (dog.start, dog.length) == (0, 10)
    [moment] = dog.moments
    assert (moment.start, moment.time) == (4.5, 5)
    assert moment.objects == (Object((0.2, 0.1, 0.8, 0.5), 1),)
    assert found.splits["train"][0].moments is None
    assert "the lists have 3 categories; the paper has 98" in found.notes
    assert "2 of 2 test clips have boxes, VGG-SS'" in found.notes


def test_vggsound_without_its_csv_has_no_categories_and_says_so(tmp_path):
    lists = VGGSOUND | {"lists/trainsyn.txt": pairs(5, 0), "AAAAAAAAAA3_000010.mp4": ""}
    found = vggsound.collection(fill(tmp_path, lists))
    assert found.classes == ()
    assert {r.labels for part in found.splits.values() for r in part} == {()}
    assert found.splits["train"][0].path.name == "AAAAAAAAAA3_000010.mp4"
    notes = " ".join(found.notes)
    assert "vggsound.csv is missing" in notes
    assert "1 id is in both synthesis (2) and test (2): AAAAAAAAAA0" in notes
    assert "0 of 1 test clips have boxes" in notes


def test_a_missing_list_is_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"eval.txt is not in this folder; get it from github"):
        vggsound.collection(fill(tmp_path, {"trainsolo.txt": "", "trainsyn.txt": ""}))


def test_vggss_is_a_boxed_frame_a_clip(tmp_path):
    found = vggss.collection(fill(tmp_path, {"vggss.json": VGGSS, "AAAAAAAAAA1.mp4": ""}))
    assert found.classes == ("cat purring", "dog barking")
    dog, cat = found.splits["test"]
    assert (dog.id, dog.labels, dog.path) == ("AAAAAAAAAA0", (1,), None)
    assert cat.path.name == "AAAAAAAAAA1.mp4"
    assert cat.moments[0].name == "AAAAAAAAAA1_000000"
    assert cat.moments[0].objects == (Object((0, 0, 0.5, 0.25), 0),)


def events(*rows: str) -> str:
    return "Category&VideoID&Quality&StartTime&EndTime\n" + "".join(f"{row}\n" for row in rows)


def test_ave_keeps_the_seconds_that_sound_and_tests_on_no_training_video(tmp_path):
    rows = {
        "trainSet.txt": ("Bark&AAAAAAAAAA0&good&2&9", "Bark&AAAAAAAAAA1&good&0&10"),
        "valSet.txt": ("Male speech, man speaking&AAAAAAAAAA2&good&0&4",),
        "testSet.txt": (
            "Bark&AAAAAAAAAA4&good&1&4",
            "Flute&AAAAAAAAAA4&good&6&10",
            "Bark&AAAAAAAAAA1&good&6&10",
            "Flute&AAAAAAAAAA3&good&0&0",
        ),
    }
    every = {"Annotations.txt": tuple(row for part in rows.values() for row in part)}
    files = {name: events(*part) for name, part in (rows | every).items()}
    found = ave.collection(fill(tmp_path, files | {"AVE/AAAAAAAAAA4.mp4": ""}))
    assert found.classes == ("Bark", "Flute", "Male speech, man speaking")
    assert ids(found) == {
        "train": ["AAAAAAAAAA0", "AAAAAAAAAA1"],
        "validation": ["AAAAAAAAAA2"],
        "test": ["AAAAAAAAAA4", "AAAAAAAAAA4"],
    }
    bark, flute = found.splits["test"]
    assert [(r.start, r.length, r.labels) for r in (bark, flute)] == [(1, 3, (0,)), (6, 4, (1,))]
    assert bark.path.name == "AAAAAAAAAA4.mp4" and bark.moments is None
    assert found.notes == (
        "1 id is in both train (2) and test (3): AAAAAAAAAA1",
        "1 of test are kept in train and removed from test",
        "events of test shorter than a second, left out: 1",
    )


NAMES = ("Banjo", "Cello", "Drum", "Guitar", "Flute")


def audioset_files() -> dict[str, object]:
    """Three videos of the published two files: solo, duet, and one that boxes alone tell of."""
    frames = {
        "AAAAAAAAAA0/0": [(1, [0.1, 0.1, 0.2, 0.2])],
        "AAAAAAAAAA0/9": [],
        "AAAAAAAAAA1/4": [(2, [0, 0, 0.5, 0.5]), (3, [0.5, 0, 0.5, 1])],
        "AAAAAAAAAA2/1": [(0, [0, 0, 1, 1])],
    }
    images = {"AAAAAAAAAA0/0": 0, "AAAAAAAAAA0/9": 9, "AAAAAAAAAA1/4": 24, "AAAAAAAAAA2/1": 51}
    coco = {
        "categories": [{"id": i, "name": name} for i, name in enumerate(NAMES)],
        "images": [{"id": i, "width": 64, "height": 48} for i in images.values()],
        "annotations": [
            {"image_id": images[key], "category_id": c, "bbox": box}
            for key, boxes in frames.items()
            for c, box in boxes
        ],
    }
    plain = {
        key: {"bbox": [{"category": c, "normbox": box} for c, box in boxes]}
        for key, boxes in frames.items()
    }
    return {"audioset_box.json": plain, "multi_source_coco.json": coco}


def segments(*rows: str) -> str:
    return "# Segments csv\n# num_ytids\n# YTID, start_seconds, end_seconds, positive_labels\n" + (
        "".join(f"{row}\n" for row in rows)
    )


def test_audioset_instrument_parts_solo_from_several_by_audiosets_labels(tmp_path):
    lists = {
        "balanced_train_segments.csv": segments(
            'AAAAAAAAAA0, 30.000, 40.000, "/m/01xqw,/m/04rlf"',
            'AAAAAAAAAA1, 0.000, 10.000, "/m/02hnl,/m/026t6"',
            'AAAAAAAAAA2, 5.000, 15.000, "/m/018j2,/m/0342h,/m/04rlf"',
        ),
        "unbalanced_train_segments.csv": segments(
            'AAAAAAAAAA4, 10.000, 20.000, "/m/04rlf,/m/0l14j_"',
            'AAAAAAAAAA5, 10.000, 20.000, "/m/01xqw,/m/042v_gx"',
            'AAAAAAAAAA6, 10.000, 20.000, "/m/04rlf"',
        ),
        "AAAAAAAAAA0_30.000_40.000.mp4": "",
        "AAAAAAAAAA4_10000_20000.mkv": "",
    }
    found = audio.collection(fill(tmp_path, audioset_files() | lists))
    assert found.classes == NAMES
    assert ids(found) == {
        "train": ["AAAAAAAAAA4"],
        "multi_train": ["AAAAAAAAAA5"],
        "test": ["AAAAAAAAAA0", "AAAAAAAAAA1"],
        "multi_test": ["AAAAAAAAAA2"],
    }
    assert [found.splits[s][0].labels for s in found.splits] == [(4,), (1, 3), (1,), (0, 3)]
    cello = found.splits["test"][0]
    assert cello.path.name.startswith("AAAAAAAAAA0_30") and cello.start == 0
    first, last = cello.moments
    assert (first.name, first.start, first.time) == ("AAAAAAAAAA0/0", 0, 0.5)
    assert (last.start, last.time, last.objects) == (9, 9.5, ())
    [(box, label, sounding)] = first.objects
    assert box == pytest.approx((0.1, 0.1, 0.3, 0.3)) and (label, sounding) == (1, True)
    assert found.splits["train"][0].path.suffix == ".mkv"
    assert found.notes == ()


def test_audioset_instrument_without_lists_goes_by_its_boxes(tmp_path):
    files = audioset_files()
    files["normav.json"] = files.pop("multi_source_coco.json")
    found = audio.collection(fill(tmp_path, files))
    assert ids(found) == {"test": ["AAAAAAAAAA0", "AAAAAAAAAA2"], "multi_test": ["AAAAAAAAAA1"]}
    assert "does not have 3 of 3 test clips" in found.notes[0]
    assert "nothing to train on" in found.notes[1]


def test_audioset_instrument_where_all_boxes_sound(tmp_path):
    files = audioset_files()
    extra = {"image_id": 0, "category_id": 4, "bbox": [0.5, 0.5, 0.1, 0.1]}
    files["multi_source_coco.json"]["annotations"].append(extra)
    folder = fill(tmp_path, files)
    for all_boxes in (False, True):
        found = audio.collection(folder, all_boxes=all_boxes)
        cello, flute = found.splits["test"][0].moments[0].objects
        assert (cello.sounding, flute.sounding) == (True, all_boxes)
    assert ids(found) == {"test": ["AAAAAAAAAA0", "AAAAAAAAAA1", "AAAAAAAAAA2"]}


@pytest.mark.parametrize("module", [realistic, daily_life])
def test_plain_layout_is_a_test_split_of_frames(tmp_path, module):
    objects = [
        {"box": [0.1, 0.2, 0.3, 0.4], "category": "cello", "sounding": True},
        {"box": [0.5, 0.5, 0.4, 0.4], "category": "flute", "sounding": False},
    ]
    items = [
        {"id": name, "frame": f"f/{name}.jpg", "sound": f"{name}.wav", "objects": objects}
        for name in "ab"
    ]
    items[0]["start"] = 3.0
    content = {"classes": ["cello", "flute"], "items": items}
    folder = fill(tmp_path, {"annotations.json": content, "f/a.jpg": "", "a.wav": "", "b.wav": ""})
    found = module.collection(folder)
    assert found.classes == ("cello", "flute")
    a, b = found.splits["test"]
    assert (a.path.name, a.sound.name, a.still) == ("a.jpg", "a.wav", True)
    assert (b.path, b.sound) == (None, None)
    [moment] = a.moments
    assert moment.start == 3
    assert [(o.label, o.sounding) for o in moment.objects] == [(0, True), (1, False)]
    assert moment.objects[0].box == pytest.approx((0.2, 0.1, 0.6, 0.4))


def votes(*boxes: tuple[int, int, int, int]) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    written = "".join(
        "<bbox><id>1</id>"
        + "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, box, strict=True))
        + "</bbox>"
        for box in boxes
    )
    return f"<annotations><annotation>{written}</annotation></annotations>"


def test_flickr_soundnet_pairs_pictures_with_sounds_and_votes(tmp_path):
    files = {
        "test_list.txt": "12.png\n13.png\n14.png\n",
        "Annotations/12.xml": votes((0, 0, 128, 128), (64, 0, 256, 256)),
        "Annotations/13.xml": votes((0, 0, 64, 64)),
        "Annotations/20.xml": votes(),
    }
    there = ("frames/12.jpg", "audio/12.wav", "frames/13.jpg", "frames/20.jpg", "audio/20.wav")
    there += ("frames/21.jpg", "audio/21.mp3")
    found = flickr.collection(fill(tmp_path, files | dict.fromkeys(there, "")))
    assert found.clip_seconds == 5 and found.classes == ()
    assert ids(found) == {"train": ["20", "21"], "test": ["12", "13", "14"]}
    twelve, thirteen, fourteen = found.splits["test"]
    assert (twelve.path.name, twelve.sound.name) == ("12.jpg", "12.wav")
    assert twelve.moments[0].objects == (
        Object((0, 0, 0.5, 0.5), -1),
        Object((0, 0.25, 1, 1), -1),
    )
    assert thirteen.path is None and fourteen.path is None
    assert found.splits["train"][0].moments[0].objects == ()
    assert found.splits["train"][1].moments is None
    assert found.notes == ("1 of 3 test pairs have no XML file: not scored",)


@pytest.mark.skipif(REAL is None, reason="the authors' files are not on this machine")
class TestRealFiles:
    def test_vggsound(self):
        found = vggsound.collection(Folder(REAL / "vggsound"))
        sizes = {split: len(part) for split, part in found.splits.items()}
        assert sizes == {"train": 14349, "synthesis": 14407, "test": 2787}
        every = [r.id for part in found.splits.values() for r in part]
        assert len(set(every)) == 31543 and all(len(id) == 11 for id in every)
        assert not any("stand" in note for note in found.notes)
        assert all(r.path is None for part in found.splits.values() for r in part)

    @pytest.mark.parametrize(
        "all_boxes, sizes", [(False, {1: 4270, 2: 194, 3: 9}), (True, {1: 4273, 2: 211, 3: 19})]
    )
    def test_audioset_levels_of_both_truths(self, all_boxes, sizes):
        found = audio.collection(Folder(REAL / "audioset_instrument"), all_boxes=all_boxes)
        frames = [m for part in found.splits.values() for r in part for m in r.moments]
        levels = Counter(len({o.label for o in m.objects if o.sounding}) for m in frames)
        assert levels == sizes | ({0: 30} if not all_boxes else {})
        assert sum(levels.values()) == 4503
        if all_boxes:
            assert list(found.splits) == ["test"] and len(found.splits["test"]) == 566

    def test_audioset_instrument(self):
        found = audio.collection(Folder(REAL / "audioset_instrument"))
        written = json.loads((REAL / "audioset_instrument" / "audioset_box.json").read_text())
        moments = [m for part in found.splits.values() for r in part for m in r.moments]
        assert len(moments) == 4503 and {m.name for m in moments} == set(written)
        objects = [o for m in moments for o in m.objects]
        assert len(objects) == 8038 and sum(o.sounding for o in objects) == 7403
        assert sum(not any(o.sounding for o in m.objects) for m in moments) == 30
        assert len(found.classes) == 15
        assert len(ids(found)["test"]) + len(ids(found)["multi_test"]) == 566
        # Its own numbers of categories tell as well how many instruments are boxed in a clip.
        boxed: dict[str, set[int]] = {}
        for key, frame in written.items():
            boxed.setdefault(key.split("/")[0], set()).update(b["category"] for b in frame["bbox"])
        several = {id for id, categories in boxed.items() if len(categories) > 1}
        assert len(several) == 43 and set(ids(found)["multi_test"]) == several
