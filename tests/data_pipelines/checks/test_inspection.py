"""What is learnt of real files, and when it is learnt again."""

import hashlib
import json
import os

import numpy as np
import pytest
import scipy.io.wavfile
from PIL import Image

from avloc.data_pipelines.checks import inspection
from avloc.data_pipelines.checks.inspection import inspect, inspect_all
from tests.videos import damage, write_video


@pytest.fixture
def reads(monkeypatch):
    """Paths of the files that are read, in order."""
    seen = []
    digest = hashlib.file_digest

    def counted(file, name):
        seen.append(os.path.basename(file.name))
        return digest(file, name)

    monkeypatch.setattr(inspection.hashlib, "file_digest", counted)
    return seen


def test_a_video(tmp_path):
    path = write_video(tmp_path / "a.mp4", seconds=3, rate=12, size=(96, 64), rotation=90)
    facts = inspect(path)
    assert facts.problem is None and facts.has_audio and not facts.decoded
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.bytes == path.stat().st_size
    assert (facts.width, facts.height, facts.rotation) == (64, 96, 90)
    assert facts.duration == pytest.approx(3, abs=0.1) and facts.rate == pytest.approx(12)
    assert not inspect(write_video(tmp_path / "mute.mp4", sound=False)).has_audio


def test_damage_far_into_a_video_is_seen_by_decoding_alone(tmp_path):
    path = damage(write_video(tmp_path / "a.mkv", seconds=6), start=0.6)
    assert inspect(path).problem is None
    known = inspect(path)
    decoded = inspect(path, decode=True, known=known)
    assert "damaged at second" in decoded.problem and decoded.decoded
    assert 1 <= decoded.good < 6
    assert inspect(path, known=decoded) == decoded
    path.write_bytes(b"no video")
    assert inspect(path).problem.startswith("not a video that can be read")


def test_sounds_pictures_and_other_files(tmp_path):
    scipy.io.wavfile.write(tmp_path / "a.wav", 8000, np.zeros(4000, np.int16))
    facts = inspect(tmp_path / "a.wav", decode=True)
    assert facts.has_audio and facts.problem is None and facts.width == 0
    assert facts.duration == pytest.approx(0.5)
    (tmp_path / "b.wav").write_bytes(b"nothing")
    assert inspect(tmp_path / "b.wav").problem.startswith("not a sound that can be read")

    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    facts = inspect(tmp_path / "a.png")
    assert (facts.width, facts.height, facts.problem) == (40, 30, None)
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:-900])
    assert inspect(tmp_path / "b.jpg").problem.startswith("a damaged picture (")
    (tmp_path / "c.jpg").write_bytes(b"nothing")
    assert inspect(tmp_path / "c.jpg").problem == (
        "not a picture that can be read; read are JPEG, PNG, WEBP, BMP, GIF, TIFF, PPM"
    )

    (tmp_path / "a.npy").write_bytes(b"12")
    assert inspect(tmp_path / "a.npy").problem is None
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert "cannot be read" in inspect(tmp_path / "gone.mp4").problem


def test_only_new_and_changed_files_are_read_again(tmp_path, reads):
    source, notes = tmp_path / "source", tmp_path / "out" / "files.json"
    source.mkdir()
    paths = {write_video(source / f"{name}.mp4", seconds=1) for name in "ab"}
    first = inspect_all(paths, notes)
    assert sorted(reads) == ["a.mp4", "b.mp4"] and set(first) == paths
    assert inspect_all(paths, notes) == first and len(reads) == 2

    damage(source / "b.mp4", 0.9, 0.05)
    os.utime(source / "b.mp4", ns=(0, 0))
    second = inspect_all(paths | {write_video(source / "c.mp4", seconds=1)}, notes)
    assert sorted(reads[2:]) == ["b.mp4", "c.mp4"]
    assert second[source / "a.mp4"] == first[source / "a.mp4"]
    assert second[source / "b.mp4"].sha256 != first[source / "b.mp4"].sha256

    assert not first[source / "a.mp4"].decoded
    decoded = inspect_all(paths, notes, decode=True, workers=1)  # in another process
    assert decoded[source / "a.mp4"].sha256 == first[source / "a.mp4"].sha256
    assert len(reads) == 4
    assert json.loads(notes.read_text())["files"][str(source / "a.mp4")]["decoded"]


@pytest.mark.parametrize("text", ["", "[]", '{"files": 3}', '{"files": {"a": {"bytes": 1}}}'])
def test_notes_that_cannot_be_read_are_made_again(tmp_path, text):
    notes = tmp_path / "files.json"
    notes.write_text(text)
    path = write_video(tmp_path / "a.mp4", seconds=1)
    assert inspect_all([path], notes)[path].problem is None
    assert str(path) in json.loads(notes.read_text())["files"]
