"""Videos whose container, clock or header is unusual are localized, or refused before the work."""

import json

import av
import pytest

from avloc.data_pipelines.media.video import VideoError, cut
from avloc.inference import video as inference
from avloc.inference.video import localize_video, record_of
from tests.inference.blobs import red_blob_model
from tests.videos import claim, copy_part, jump, pitch, write_pcm, write_video


def localize(path, out):
    drawn = localize_video(red_blob_model(), path, out, batch_size=8, progress=False)
    return drawn, json.loads(record_of(drawn).read_text())


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "a.mkv"
    return write_video(path, rate=8, sample_rate=16000, channels=1)


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_sound_whose_layout_has_no_name(tmp_path, name):
    path = write_pcm(tmp_path / name)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].layout.name == "2 channels"
    drawn, record = localize(path, tmp_path / "out")
    assert [s["second"] for s in record["seconds"]] == [0, 1] and record["damage"] is None
    assert [pitch(clip.waveform) for clip in cut(drawn)] == pytest.approx([400, 500], abs=2)


def test_a_clock_that_does_not_start_at_0(video, tmp_path):
    drawn, record = localize(copy_part(video, tmp_path / "a.mkv", 0, clock=500), tmp_path / "out")
    _, plain = localize(video, tmp_path / "plain")
    assert record == plain and record["seconds_skipped"] == []
    with av.open(str(drawn)) as container:
        assert next(container.decode(video=0)).time == pytest.approx(0, abs=0.01)


def test_a_header_may_claim_any_length(video, tmp_path):
    path = claim(copy_part(video, tmp_path / "a.mkv", 0), 1e12)
    _, record = localize(path, tmp_path / "out")
    assert [s["second"] for s in record["seconds"]] == [0, 1]
    assert record["damage"].startswith("damaged at second 2")


def test_pictures_that_begin_late_are_drawn_at_their_time(video, tmp_path):
    path = jump(video, tmp_path / "a.mkv", "video", after=0, by=1.0)
    drawn, record = localize(path, tmp_path / "out")
    assert [s["second"] for s in record["seconds"]] == [1]
    with av.open(str(drawn)) as container:
        assert next(container.decode(video=0)).time == pytest.approx(1.0, abs=0.01)


def test_what_cannot_be_written_is_known_before_the_analysis(video, tmp_path, monkeypatch):
    def analyse(*_):
        raise AssertionError("analysed")

    monkeypatch.setattr(inference, "analyse", analyse)
    out = tmp_path / "out"
    (out / ".a.localized.mp4.check").mkdir(parents=True)  # so that this name cannot be written
    with pytest.raises(VideoError, match=r"a\.mkv: cannot be converted to mp4"):
        localize(video, out)
    silent = write_video(tmp_path / "b.mp4", seconds=1, sound=False)
    with pytest.raises(VideoError, match=r"b\.mp4: no sound track"):
        localize(silent, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_made_for_nothing_is_removed(tmp_path):
    short = write_video(tmp_path / "a.mkv", seconds=0.5, rate=8)
    with pytest.raises(VideoError, match="shorter than a second"):
        localize(short, tmp_path / "out")
    assert not (tmp_path / "out").exists()
