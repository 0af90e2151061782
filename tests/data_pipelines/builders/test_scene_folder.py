"""`scene_folder`: pictures with sounds and boxes, from small real files."""

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from avloc.data_pipelines.annotations.scene_list import read_scenes
from avloc.data_pipelines.builders.scene_folder.scene_folder_dataset_builder import Builder
from tests.videos import pitch, tone

PIG = {"class": "pig", "bbox": [0.5, 0, 0.25, 0.5], "sounding": True}
FOX = {"class": "fox", "bbox": [0, 0.5, 0.5, 0.25], "sounding": False}
SCENE = {"id": "0000", "image": "0000.jpg", "audio": "0000.wav", "objects": [PIG, FOX]}


def write_scenes(folder: Path, *scenes: dict, sound: float = 1.0, size=(600, 640)) -> Path:
    """The files of scenes, each with a pitch of its own, and their annotation."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, scene in enumerate(scenes):
        Image.new("RGB", size, (50 * number,) * 3).save(folder / f"{scene['id']}.jpg")
        samples = 32767 * tone(sound, 16000, frequency=400 + 300 * number)[0]
        with wave.open(str(folder / f"{scene['id']}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    path = folder / "annotations.json"
    path.write_text(json.dumps(scenes))
    return path


def build(source: Path) -> tfds.core.DatasetBuilder:
    config = replace(Builder.config_of(source), workers=0)
    builder = Builder(config=config, data_dir=source.parent / "data")
    builder.download_and_prepare(file_format="array_record")
    return tfds.builder_from_directory(builder.data_path)


def records(builder: tfds.core.DatasetBuilder, split: str) -> dict[str, dict]:
    return {r["id"].decode(): r for r in builder.as_data_source(split)}


def test_a_folder_of_scenes_is_a_test_split(tmp_path):
    source = tmp_path / "My Scenes"
    write_scenes(source, SCENE, SCENE | {"id": "b", "image": "b.jpg", "audio": "b.wav"})
    built = build(source)
    assert built.info.config_name == "my_scenes"
    assert built.info.metadata["class_names"] == ["fox", "pig"]
    found = records(built, "test")
    assert set(found) == {"0000", "b"}
    objects = found["b"]["objects"]
    np.testing.assert_allclose(objects["bbox"], [[0, 0.5, 0.5, 0.75], [0.5, 0, 0.75, 0.5]])
    assert (list(objects["label"]), list(objects["sounding"])) == ([1, 0], [True, False])
    assert not any(objects["offscreen"])
    assert pitch(found["b"]["waveform"]) == pytest.approx(700, abs=1)
    [picture] = found["b"]["frames"]
    assert picture.shape == (546, 512, 3)  # finer than clips: the objects are smaller
    assert abs(picture.mean() - 50) < 2


def test_subfolders_are_splits_and_sounds_may_come_from_off_screen(tmp_path):
    source = tmp_path / "sets"
    write_scenes(source / "cocktail_test", SCENE)
    write_scenes(source / "Unconstrained test", SCENE | {"offscreen": ["owl"]})
    (source / "solo").mkdir()
    built = build(source)
    assert set(built.info.splits) == {"cocktail_test", "unconstrained_test"}
    assert built.info.metadata["class_names"] == ["fox", "owl", "pig"]
    [(name, record)] = records(built, "unconstrained_test").items()
    assert name == "Unconstrained test/0000"
    objects = record["objects"]
    assert list(objects["label"]) == [2, 0, 1]
    assert list(objects["sounding"]) == [True, False, True]
    assert list(objects["offscreen"]) == [False, False, True]
    assert not np.any(objects["bbox"][2])
    [plain] = records(built, "cocktail_test").values()
    assert not any(plain["objects"]["offscreen"])


def test_what_is_missing_is_counted_and_the_rest_is_used(tmp_path):
    source = tmp_path / "s"
    path = write_scenes(source, SCENE, SCENE | {"id": "b", "image": "c.jpg", "audio": "b.wav"})
    built = build(source)
    assert set(records(built, "test")) == {"0000"}
    account = built.info.metadata["accounts"]["test"]
    assert (account["wanted"], account["missing_ids"]) == (2, ["b"])
    before = Builder.config_of(source).fingerprint()
    path.write_text(json.dumps([SCENE | {"offscreen": ["owl"]}]))
    assert Builder.config_of(source).fingerprint() != before


def test_the_plain_layout_is_read_too(tmp_path):
    item = {"id": "a", "frame": "a.jpg", "sound": "a.wav", "start": 1}
    item["objects"] = [{"box": [0.5, 0, 0.25, 0.5], "category": "dog", "sounding": True}]
    path = write_scenes(tmp_path / "s", {"id": "a"}, sound=2)
    path.write_text(json.dumps({"classes": ["dog"], "items": [item]}))
    [record] = records(build(tmp_path / "s"), "test").values()
    np.testing.assert_allclose(record["objects"]["bbox"], [[0, 0.5, 0.5, 0.75]])
    assert pitch(record["waveform"]) == pytest.approx(500, abs=1)  # its second second


def test_a_folder_without_annotation_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.json is neither in this folder nor in a"):
        Builder.config_of(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": 7}, ', entry 1, "id": must be a text, not 7'),
        ({"id": "0000"}, ", entry 1, \"id\": '0000' appears twice"),
        ({"image": "../x.jpg"}, ', entry 1 (b), "image": must be a path inside the folder'),
        ({"start": -1}, ', entry 1 (b), "start": must not be below 0, but is -1'),
        ({"objects": None}, ', entry 1 (b), "objects": must be a list, not null'),
        ({"objects": [{"class": "a", "sounding": True}]}, ', entry 1 (b), object 0: the field "b'),
        ({"objects": [PIG, {"class": "a"}]}, ', entry 1 (b), object 1: the field "sounding" is mi'),
        ({"objects": [PIG | {"class": 1}]}, ', entry 1 (b), object 0, "class": must be a text'),
        ({"objects": [PIG | {"bbox": [2, 2, 1, 1]}]}, ', entry 1 (b), object 0, "bbox": [2.0, 2'),
        ({"offscreen": "owl"}, ", entry 1 (b), \"offscreen\": must be a list, not 'owl'"),
    ],
)
def test_bad_entries_are_named(tmp_path, changes, message):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps([SCENE, SCENE | {"id": "b"} | changes]))
    with pytest.raises(ValueError) as error:
        read_scenes(path)
    assert str(error.value).startswith(f"{path}{message}")
