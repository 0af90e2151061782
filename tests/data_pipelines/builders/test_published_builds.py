"""Each published data set, built from small videos in its authors' layout."""

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from avloc.data_pipelines.builders.audioset_instrument import (
    audioset_instrument_dataset_builder as audio,
)
from avloc.data_pipelines.builders.ave import ave_dataset_builder as ave
from avloc.data_pipelines.builders.daily_life import daily_life_dataset_builder as daily_life
from avloc.data_pipelines.builders.flickr_soundnet import flickr_soundnet_dataset_builder as flickr
from avloc.data_pipelines.builders.vggsound import vggsound_dataset_builder as vggsound
from avloc.data_pipelines.builders.vggsound_duet import vggsound_duet_dataset_builder as duet
from avloc.data_pipelines.builders.vggss import vggss_dataset_builder as vggss
from tests.videos import pitch, place, tone, write_video

SMALL = {"size": (48, 32), "rate": 8, "channels": 1, "sample_rate": 16000}


def build(module, source: Path) -> tfds.core.DatasetBuilder:
    """Builds in this process, as `avloc data build` does in several."""
    config = replace(module.Builder.config_of(source), workers=0)
    builder = module.Builder(config=config, data_dir=source.parent / "data")
    builder.download_and_prepare(file_format="array_record")
    return builder


def records(builder: tfds.core.DatasetBuilder, split: str = "test") -> dict[str, dict]:
    found = {record["id"].decode(): record for record in builder.as_data_source(split)}
    return dict(sorted(found.items()))


def write_sound(path: Path, seconds: float, frequency: float = 400.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        samples = 32767 * tone(seconds, 16000, frequency=frequency)[0]
        file.writeframes(samples.astype("<i2").tobytes())


def write_picture(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (48, 32), (grey, grey, grey)).save(path)


@pytest.fixture(scope="module")
def boxed_clips(tmp_path_factory) -> Path:
    """A cut clip, a whole video and a clip that is missing, with the files of both benchmarks."""
    source = tmp_path_factory.mktemp("vgg") / "source"
    source.mkdir()
    write_video(source / "AAAAAAAAAA0_000030.mp4", seconds=7, **SMALL)
    write_video(source / "AAAAAAAAAA1.mp4", seconds=17, frequency=450, **SMALL)
    entries = [
        ("AAAAAAAAAA0_000030", "cat purring", [[0.25, 0.5, 0.5, 1.0]]),
        ("AAAAAAAAAA1_000008", "bird calling", [[0, 0, 1, 0.5], [0, 0, 0.5, 0.5]]),
        ("AAAAAAAAAA2_000000", "cat purring", [[0, 0, 1, 1]]),
    ]
    (source / "vggss.json").write_text(
        json.dumps([{"file": f, "class": c, "bbox": b} for f, c, b in entries])
    )
    (source / "vggsound_duet_test.csv").write_text(
        "AAAAAAAAAA0_000030,cat_purring,AAAAAAAAAA1_000008,bird_calling\n"
        "AAAAAAAAAA0_000030,cat_purring,AAAAAAAAAA1_000008,bird_calling\n"
        "AAAAAAAAAA1_000008,bird_calling,AAAAAAAAAA2_000000,cat_purring\n"
    )
    return source


def test_vggss(boxed_clips):
    built = build(vggss, boxed_clips)
    found = records(built)
    assert list(found) == ["AAAAAAAAAA0_000030", "AAAAAAAAAA1_000008"]
    cut, whole = found.values()
    # The frame at 5 s, where the square is back at the left; the sound of 4.5 to 5.5 s.
    assert place(cut["frames"][0]) == pytest.approx(0, abs=0.05)
    assert pitch(cut["waveform"][:8000]) == pytest.approx(800, abs=3)
    assert pitch(cut["waveform"][8000:]) == pytest.approx(900, abs=3)
    # Of the whole video the same of what begins at 8 s.
    assert pitch(whole["waveform"][8000:]) == pytest.approx(450 + 1300, abs=3)
    np.testing.assert_allclose(cut["objects"]["bbox"], [[0.5, 0.25, 1, 0.5]])
    assert list(whole["objects"]["label"]) == [0, 0] and len(whole["frames"]) == 1
    assert built.info.metadata["class_names"] == ["bird calling", "cat purring"]
    assert built.info.metadata["accounts"]["test"]["missing_ids"] == ["AAAAAAAAAA2"]


def test_vggsound_duet_lays_both_side_by_side_and_mixes_them(boxed_clips):
    built = build(duet, boxed_clips)
    [(name, record)] = records(built).items()
    assert name == "AAAAAAAAAA0_000030+AAAAAAAAAA1_000008"
    assert np.shape(record["frames"]) == (1, 256, 512, 3)
    np.testing.assert_allclose(
        record["objects"]["bbox"], [[0.5, 0.125, 1, 0.25], [0, 0.5, 0.5, 1], [0, 0.5, 0.5, 0.75]]
    )
    assert list(record["objects"]["label"]) == [1, 0, 0]
    assert all(record["objects"]["sounding"])
    spectrum = np.abs(np.fft.rfft(record["waveform"][8000:] * np.hanning(8000)))
    peaks = {2 * int(f) for f in np.argsort(spectrum)[-6:]}
    assert any(abs(p - 900) < 5 for p in peaks) and any(abs(p - 1750) < 5 for p in peaks)
    assert built.info.metadata["max_objects"] == 3
    assert "1 of 2 duets have both of their clips in the folder" in built.info.metadata["notes"]


def test_vggsound(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    lists = {"trainsolo.txt": (3, 4), "trainsyn.txt": (5,), "eval.txt": (6,)}
    for name, numbers in lists.items():
        lines = (f"AAAAAAAAAA{n}.flac AAAAAAAAAA{n}.mp4\n" for n in numbers)
        (source / name).write_text("".join(lines))
    rows = (f'AAAAAAAAAA{n},{10 * n},"kind, {n % 2}",train\n' for n in (3, 4, 5, 6))
    (source / "vggsound.csv").write_text("".join(rows))
    write_video(source / "AAAAAAAAAA3_000030.mp4", seconds=2, **SMALL)
    write_video(source / "AAAAAAAAAA5.mp4", seconds=63, **SMALL | {"rate": 1})
    write_video(source / "AAAAAAAAAA6.mp4", seconds=3, sound=False, **SMALL)
    built = build(vggsound, source)
    sizes = {split: part.num_examples for split, part in built.info.splits.items()}
    assert sizes == {"train": 2, "synthesis": 10}
    assert built.info.metadata["class_names"] == ["kind, 0", "kind, 1"]
    solo = records(built, "train")
    assert list(solo) == ["AAAAAAAAAA3@0", "AAAAAAAAAA3@1"]
    assert len(solo["AAAAAAAAAA3@1"]["frames"]) == 4
    assert [pitch(r["waveform"]) for r in solo.values()] == pytest.approx([400, 500], abs=3)
    late = records(built, "synthesis")["AAAAAAAAAA5@50"]
    assert pitch(late["waveform"]) == pytest.approx(5400, abs=3)
    assert list(late["objects"]["label"]) == [1] and not np.any(late["objects"]["bbox"])
    accounts = built.info.metadata["accounts"]
    assert accounts["train"]["missing_ids"] == ["AAAAAAAAAA4"]
    assert "no sound" in accounts["test"]["skipped_for"]["AAAAAAAAAA6"]


def test_ave(tmp_path):
    source = tmp_path / "source"
    (source / "AVE").mkdir(parents=True)
    write_video(source / "AVE" / "AAAAAAAAAA0.mp4", seconds=4, **SMALL)
    rows = {
        "trainSet.txt": "",
        "valSet.txt": "",
        "testSet.txt": "Bark&AAAAAAAAAA0&good&1&3\nFlute&AAAAAAAAAA0&good&2&4\n",
    }
    for name, content in (rows | {"Annotations.txt": rows["testSet.txt"]}).items():
        (source / name).write_text("Category&VideoID&Quality&StartTime&EndTime\n" + content)
    found = records(build(ave, source))
    heard = {name: (r["objects"]["label"][0], pitch(r["waveform"])) for name, r in found.items()}
    assert {label for label, _ in heard.values()} == {0, 1}
    assert sorted(p for label, p in heard.values() if label == 0) == pytest.approx(
        [500, 600], abs=3
    )
    assert sorted(p for label, p in heard.values() if label == 1) == pytest.approx(
        [600, 700], abs=3
    )
    assert {r["video"] for r in found.values()} == {b"AAAAAAAAAA0"}


def test_audioset_instrument(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    write_video(source / "AAAAAAAAAA0_10.000_20.000.mkv", seconds=3, **SMALL)
    write_video(source / "AAAAAAAAAA1.mp4", seconds=2, **SMALL)
    boxes = {"AAAAAAAAAA0/0": [[0, 0, 0.5, 0.5]], "AAAAAAAAAA0/2": []}
    silent = [0.5, 0.5, 0.25, 0.25]
    (source / "audioset_box.json").write_text(
        json.dumps(
            {k: {"bbox": [{"category": 1, "normbox": b} for b in v]} for k, v in boxes.items()}
        )
    )
    annotations = [
        {"image_id": 70, "category_id": 1, "bbox": boxes["AAAAAAAAAA0/0"][0]},
        {"image_id": 70, "category_id": 0, "bbox": silent},
        {"image_id": 72, "category_id": 0, "bbox": silent},
    ]
    categories = [{"id": 0, "name": "Banjo"}, {"id": 1, "name": "Cello"}]
    images = [{"id": 70}, {"id": 72}]
    (source / "multi_source_coco.json").write_text(
        json.dumps({"categories": categories, "images": images, "annotations": annotations})
    )
    (source / "unbalanced_train_segments.csv").write_text(
        'AAAAAAAAAA1, 0.000, 10.000, "/m/018j2,/m/04rlf"\n'
    )
    built = build(audio, source)
    first, last = records(built).values()
    assert (first["id"], last["id"]) == (b"AAAAAAAAAA0/0", b"AAAAAAAAAA0/2")
    assert [place(r["frames"][0]) for r in (first, last)] == pytest.approx([0.5, 0.5], abs=0.05)
    assert [pitch(r["waveform"]) for r in (first, last)] == pytest.approx([400, 600], abs=3)
    assert list(first["objects"]["label"]) == [1, 0]
    assert list(first["objects"]["sounding"]) == [True, False]
    np.testing.assert_allclose(first["objects"]["bbox"], [[0, 0, 0.5, 0.5], [0.5, 0.5, 0.75, 0.75]])
    assert list(last["objects"]["sounding"]) == [False]
    assert [r["objects"]["label"][0] for r in records(built, "train").values()] == [0, 0]


def test_plain_layout(tmp_path):
    source = tmp_path / "source"
    write_picture(source / "frames" / "a.jpg", 60)
    write_sound(source / "wav" / "a.wav", 4)
    objects = [
        {"box": [0.5, 0, 0.25, 0.5], "category": "dog", "sounding": True},
        {"box": None, "category": "car", "sounding": False},
    ]
    item = {
        "id": "a",
        "frame": "frames/a.jpg",
        "sound": "wav/a.wav",
        "start": 2,
        "objects": objects,
    }
    (source / "annotations.json").write_text(
        json.dumps({"classes": ["car", "dog"], "items": [item]})
    )
    [(name, record)] = records(build(daily_life, source)).items()
    assert name == "a" and abs(record["frames"][0].mean() - 60) < 2
    assert pitch(record["waveform"]) == pytest.approx(600, abs=3)
    np.testing.assert_allclose(record["objects"]["bbox"], [[0, 0.5, 0.5, 0.75], [0, 0, 0, 0]])
    assert list(record["objects"]["label"]) == [1, 0]
    assert list(record["objects"]["sounding"]) == [True, False]


def test_flickr_soundnet(tmp_path):
    source = tmp_path / "source"
    for name, grey in (("12", 50), ("13", 200)):
        write_picture(source / "frames" / f"{name}.jpg", grey)
        write_sound(source / "audio" / f"{name}.wav", 6)
    corners = ((0, 0, 128, 128), (64, 0, 256, 256))
    names = ("xmin", "ymin", "xmax", "ymax")
    boxes = "".join(
        "<bbox>" + "".join(f"<{n}>{v}</{n}>" for n, v in zip(names, box, strict=True)) + "</bbox>"
        for box in corners
    )
    (source / "12.xml").write_text(f"<annotations><annotation>{boxes}</annotation></annotations>")
    (source / "test_list.txt").write_text("12.png\n")
    built = build(flickr, source)
    [test], [train] = records(built).values(), records(built, "train").values()
    assert test["waveform"].shape == train["waveform"].shape == (80000,)
    assert pitch(test["waveform"][:16000]) == pytest.approx(400, abs=3)
    assert pitch(test["waveform"][64000:]) == pytest.approx(800, abs=3)
    assert abs(test["frames"][0].mean() - 50) < 2 and abs(train["frames"][0].mean() - 200) < 2
    np.testing.assert_allclose(test["objects"]["bbox"], [[0, 0, 0.5, 0.5], [0, 0.25, 1, 1]])
    assert list(test["objects"]["label"]) == [-1, -1]
    assert not np.any(train["objects"]["bbox"])
