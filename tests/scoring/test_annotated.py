"""Model-free rows on boxes alone, by hand."""

import json

import pytest

from avloc.cli import main
from avloc.data_pipelines.collection import Object
from avloc.data_pipelines.scenes.plan import SceneSplit
from avloc.scoring.annotated import _scenes, score_annotations

LEFT, RIGHT, ALL = [0, 0, 0.5, 1], [0.5, 0, 0.5, 1], [0, 0, 1, 1]
FRAMES = {
    # second file's boxes of (category, box, whether the first has it too)
    ("AAAAAAAAAA0", 0): [(0, LEFT, True), (1, RIGHT, True)],
    ("AAAAAAAAAA1", 3): [(0, LEFT, True), (1, ALL, False)],
    ("AAAAAAAAAA2", 5): [(1, ALL, True)],
}


@pytest.fixture
def annotations(tmp_path):
    """AudioSet-instrument's two files, of three clips."""
    boxes, images, objects = {}, [], []
    for clip, ((video, second), found) in enumerate(FRAMES.items()):
        number = 10 * clip + second
        images.append({"id": number})
        objects += [{"image_id": number, "category_id": c, "bbox": box} for c, box, _ in found]
        boxes[f"{video}/{second}"] = {
            "bbox": [{"category": c, "normbox": box} for c, box, first in found if first]
        }
    names = [{"id": 0, "name": "Cello"}, {"id": 1, "name": "Flute"}]
    coco = {"categories": names, "images": images, "annotations": objects}
    (tmp_path / "audioset_box.json").write_text(json.dumps(boxes))
    (tmp_path / "multi_source_coco.json").write_text(json.dumps(coco))
    return tmp_path


def scores(rows, metric):
    return {row: round(found.metrics[metric]["value"], 1) for row, found in rows.items()}


def test_every_box_counts_by_level(annotations):
    rows, about = score_annotations(
        "audioset_instrument/all_boxes", annotations, "test", "c2f-levels"
    )
    assert "3 items, 3 videos" in about
    # Level 2: half and half, then a half within the whole (3/4); level 1: the whole picture.
    assert [row["ciou"] for row in rows["all objects"].items] == [0.5, 0.75, 1]
    assert [row["level"] for row in rows["whole image"].items] == [2, 2, 1]
    assert scores(rows, "level 2 cIoU_class@0.5")["whole image"] == 100
    assert scores(rows, "level 1 cIoU_class@0.5")["ceiling"] == 100


def test_silent_boxes_are_no_truth(annotations):
    rows, _ = score_annotations("audioset_instrument", annotations, "test", "dsol-duet")
    # The clip of two sounds is in multi_test. A cello sounds beside a silent flute.
    assert [row["ciou"] for row in rows["all objects"].items] == [0.5, 1]
    assert [row["ciou"] for row in rows["all that sounds"].items] == [1, 1]
    assert list(rows) == [
        "whole image", "centred box", "random map", "all objects", "all that sounds", "ceiling",
    ]  # fmt: skip


def test_the_command(annotations, tmp_path, capsys):
    asked = ["score", "--data", "audioset_instrument", "--annotations", str(annotations)]
    rest = ["--split", "multi_test", "--protocol", "dsol-duet"]
    assert main([*asked, *rest, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "Model-free rows on audioset_instrument, split multi_test: 1 items" in said
    assert "50.0 too few videos" not in said and "100.0 too few videos" in said
    assert (tmp_path / "out" / "all_that_sounds" / "items.csv").is_file()
    for words, sentence in (
        (["--split", "tset", *rest[2:]], "has no annotated split 'tset'; it has test, multi_test"),
        ([*rest[:2], "--protocol", "papre"], "there is no protocol 'papre'"),
    ):
        assert main([*asked, *words]) == 2
        assert sentence in capsys.readouterr().err
    asked[2] = "toy_orchestra"
    assert main([*asked, *rest]) == 2
    assert "toy_orchestra has no annotation files" in capsys.readouterr().err


def test_scenes_move_boxes_into_their_cells():
    solos = [(f"video {label}", (Object((0.0, 0.0, 1.0, 0.5), label),)) for label in range(4)]
    [(name, objects)] = _scenes(solos, SceneSplit("test", "2_2_0", 1))
    assert name == "scene 0" and sorted(o.label for o in objects) == [0, 1, 2, 3]
    corners = [(0, 0), (0, 0.5), (0.5, 0), (0.5, 0.5)]
    assert [o.box for o in objects] == [(y, x, y + 0.5, x + 0.25) for y, x in corners]
    assert sum(o.sounding for o in objects) == 2
