"""`avloc data doctor` and `avloc data preview`, from the words to the files and the status."""

import json

import pytest
import tensorflow_datasets as tfds

from avloc.cli import main
from avloc.data_pipelines import registry
from avloc.data_pipelines.builders.recordings import RecordingsBuilder
from avloc.data_pipelines.collection import Collection, Recording
from tests.videos import damage, write_video


def collection(folder):
    """What a data set of two splits wants; its list is `ids.txt`, a line each: split and id."""
    lines = folder.annotation("ids.txt", of="nobody").read_text().split("\n")
    pairs = [line.split() for line in lines if line]
    return Collection(
        ("cello",),
        {
            split: tuple(Recording(id, (0,), folder.find(id)) for s, id in pairs if s == split)
            for split in ("train", "test")
        },
    )


class Listed(RecordingsBuilder, skip_registration=True):
    """A data set that wants that."""

    name = "video_folder"
    VERSION = tfds.core.Version("1.0.0")
    collection = staticmethod(collection)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A folder of videos, and a data set that has the list beside them."""
    monkeypatch.setattr(registry, "builder_class", lambda entry: Listed)
    folder = tmp_path / "source"
    folder.mkdir()
    write_video(folder / "one.mp4", seconds=1)
    (folder / "ids.txt").write_text("train one\ntest two\n")
    return folder


def test_doctor_of_a_folder(source, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "doctor", "video_folder", "--source", str(source)]) == 1
    said = capsys.readouterr().out
    assert "test: none of its 1 recordings was found" in said and "1 of 2 splits" in said
    out = tmp_path / "doctor_video_folder"
    assert sorted(p.name for p in out.iterdir()) == ["doctor.html", "doctor.json", "files.json"]
    assert json.loads((out / "doctor.json").read_text())["splits"]["test"]["missing"] == ["two"]

    write_video(source / "two.mp4", seconds=1)
    words = ["data", "doctor", "video_folder", "--source", str(source), "--decode"]
    assert main([*words, "--out", str(tmp_path / "o")]) == 0
    assert "2 of 2 splits" in capsys.readouterr().out
    assert json.loads((tmp_path / "o" / "doctor.json").read_text())["decoded"]


def test_doctor_of_bad_input(source, tmp_path, fails):
    words = ("data", "doctor", "video_folder")
    assert "no such folder; --source takes a folder" in fails(*words, "--source", tmp_path / "no")
    (source / "ids.txt").unlink()
    assert "ids.txt is not in this folder" in fails(*words, "--source", source)
    assert "no data set is called 'musik'" in fails("data", "doctor", "musik", "--source", source)
    sentence = "--decode goes with --source"
    assert sentence in fails(*words, "--decode", "--out", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["source"]


def test_doctor_of_your_own_videos_says_what_a_build_will_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    for kind, count in (("cat", 5), ("dog", 2)):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            write_video(folder / kind / f"{number}.mp4", seconds=2, size=(32, 32), rate=8)
    write_video(folder / "dog" / "flash.mp4", seconds=0.5, size=(32, 32), rate=8)
    write_video(folder / "cat" / "mute.mp4", size=(32, 32), rate=8, sound=False)
    damage(write_video(folder / "dog" / "torn.mkv", seconds=6))
    (folder / "dog" / "text.mp4").write_text("no video")
    boxes = [
        {"video": video, "second": 0, "class": "cat", "bbox": [0.1, 0.1, 0.5, 0.5]}
        for video in ("cat/0.mp4", "cat/9.mp4")
    ]
    (folder / "annotations.json").write_text(json.dumps(boxes))
    words = ["data", "doctor", "video_folder", "--source", str(folder)]
    assert main([*words, "--decode"]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 splits can be built" in said
    for sentence in (
        "3 of 11 videos cannot be used: ",
        "cat/mute.mp4 (no sound track)",
        "dog/flash.mp4 (shorter than a second (0.5",
        "dog/text.mp4 (not a video that can be read",
        "1 boxes in annotations.json; no usable video is called cat/9.mp4",
        "Scenes of cocktail_test show one class that is silent more than once",
    ):
        assert sentence in said
    assert "finds damage anywhere" not in said
    planned = json.loads((tmp_path / "doctor_video_folder" / "doctor.json").read_text())["splits"]
    assert main(["data", "build", *words[2:], "--data-dir", "data"]) == 0
    built = registry.open_dataset("video_folder/mine", "data").info.splits
    assert {name: split["items"] for name, split in planned.items()} == {
        name: built[name].num_examples for name in planned
    }
    assert planned["train"]["clips"]["cat"] == 6  # of five cats one is for testing, one validates


def test_doctor_of_your_own_videos_none_of_which_can_be_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.mp4").write_text("no video")
    assert main(["data", "doctor", "video_folder", "--source", "mine"]) == 1
    said = capsys.readouterr().out
    assert "cannot be built: 1 of 1 videos cannot be used: a.mp4 (not" in said
    assert "splits can be built" not in said  # none was planned


def test_doctor_of_a_data_set_without_a_list(tmp_path, fails):
    words = ("data", "doctor", "toy_orchestra/tiny", "--source", tmp_path)
    assert "toy_orchestra has no list of files to check a folder against" in fails(*words)


def test_built(toy, tmp_path, monkeypatch, capsys, fails):
    data = toy.builder.data_path.parents[2]
    monkeypatch.chdir(tmp_path)
    assert main(["data", "doctor", "toy_orchestra/tiny", "--data-dir", str(data)]) == 0
    assert "| cocktail_test " in capsys.readouterr().out
    assert (tmp_path / "doctor_toy_orchestra_tiny" / "doctor.html").is_file()

    words = ["data", "preview", "toy_orchestra/tiny", "--data-dir", str(data), "--split"]
    assert main([*words, "test", "--items", "2"]) == 0
    assert "preview_toy_orchestra_tiny_test.png" in capsys.readouterr().out
    assert (tmp_path / "preview_toy_orchestra_tiny_test.png").is_file()
    assert main([*words, "test", "--items", "1", "--out", "a.png"]) == 0
    assert "has no split 'tset'" in fails(*words, "tset")
    assert "is a folder; --out takes" in fails(*words, "test", "--out", tmp_path)
    twice = "toy_orchestra/tiny+toy_orchestra/tiny"
    assert "cannot be joined" in fails(*words[:2], twice, *words[3:], "test")
    assert "1 item or more, not 0" in fails(*words, "test", "--items", "0")
    assert "is not built in" in fails(*words[:3], "--data-dir", tmp_path, "--split", "test")
