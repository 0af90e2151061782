"""Files whose clock or header is odd, and files that are lists of other files."""

import av
import numpy as np
import pytest

from avloc.data_pipelines.media.opening import open_file, real_length
from avloc.data_pipelines.media.video import VideoError, cut, probe
from tests.videos import claim, copy_part, counted, jump, pitch, write_counted, write_video

SMALL = {"size": (48, 32), "rate": 8, "channels": 1, "sample_rate": 16000}


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_counted(tmp_path_factory.mktemp("clocks") / "a.mp4", seconds=4, keys=1)


@pytest.mark.parametrize("ending", ["mkv", "mp4", "mov", "flv", "ts"])
def test_a_clock_that_does_not_start_at_0(video, tmp_path, ending):
    path = copy_part(video, tmp_path / f"a.{ending}", 0, clock=3600)
    assert probe(path).start == pytest.approx(3600, abs=0.05)
    assert probe(path).duration == pytest.approx(4, abs=0.1)
    assert real_length(path) == pytest.approx(4, abs=0.1)
    clips = list(cut(path))
    assert [clip.place for clip in clips] == [0, 1, 2, 3]
    assert [counted(clip.frames[1]) for clip in clips] == pytest.approx(range(4), abs=0.3)
    late = [pitch(clip.waveform[2000:14000]) for clip in clips]
    assert late == pytest.approx([400, 500, 600, 700], abs=3)


def test_what_is_cut_off_is_missed_on_any_clock(video, tmp_path):
    path = copy_part(video, tmp_path / "a.mkv", 0, clock=3600)
    claim(path, 3607)
    with pytest.raises(VideoError, match=r"the last 3 s are missing"):
        list(cut(path))


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_time_stamps_that_jump_end_the_track(video, tmp_path, kind):
    """By 10^7 s, over which no one goes second by second."""
    path = jump(video, tmp_path / "a.mkv", kind, after=2.5, by=1e7)
    given = []
    with pytest.raises(VideoError, match=r"a\.mkv: damaged at second 2"):
        given.extend(clip.place for clip in cut(path))
    assert given == [0, 1]


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_tracks_that_never_meet(video, tmp_path, kind):
    path = jump(video, tmp_path / "a.mkv", kind, after=0, by=1e7)
    with pytest.raises(VideoError, match=r"damaged at second 0|no whole second in which"):
        list(cut(path))


def test_an_hour_without_sound_is_a_gap(video, tmp_path):
    path = jump(video, tmp_path / "a.mkv", "audio", after=1.9, by=3000)
    path = jump(path, tmp_path / "b.mkv", "video", after=1.9, by=3000)
    # Second 3001 has its last tenth.
    assert [clip.place for clip in cut(path)] == [0, 1, 3001, 3002, 3003]


def test_a_header_may_claim_any_length(video, tmp_path):
    path = claim(copy_part(video, tmp_path / "a.mkv", 0), 1e12)
    given = []
    with pytest.raises(VideoError, match="damaged at second 4"):
        given.extend(clip.place for clip in cut(path))
    assert given == [0, 1, 2, 3]


def test_a_video_without_a_length_in_its_header_is_measured(video, tmp_path):
    path = copy_part(video, tmp_path / "a.mkv", 0)
    data = bytearray(path.read_bytes())
    place = data.index(b"\x44\x89\x88")
    data[place : place + 11] = b"\xec\x89" + bytes(9)  # a void in place of the length
    path.write_bytes(data)
    assert probe(path).duration is None
    assert real_length(path) == pytest.approx(4, abs=0.1)


def test_pictures_that_begin_late_have_no_clips_before(video, tmp_path):
    path = jump(video, tmp_path / "a.mkv", "video", after=0, by=1.5)
    clips = list(cut(path))
    assert [clip.place for clip in clips] == [2, 3]
    assert counted(clips[0].frames[0]) == pytest.approx(0.5, abs=0.6)


@pytest.mark.parametrize("size", [(4000, 2), (2, 4000)])
def test_pictures_that_are_lines_are_refused(tmp_path, size):
    path = write_video(tmp_path / "a.mkv", seconds=1, **SMALL | {"size": size})
    sentence = rf"a\.mkv: {size[0]} x {size[1]} pixels"
    for read in (probe, lambda path: list(cut(path))):
        with pytest.raises(VideoError, match=sentence):
            read(path)


LISTS = {
    "concat.mp4": "ffconcat version 1.0\nfile a.mp4\n",
    "list.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.mp4\n#EXT-X-ENDLIST\n",
    "list.sdp.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_other_files_is_not_opened(video, tmp_path, name):
    (tmp_path / "a.mp4").write_bytes(video.read_bytes())
    (tmp_path / name).write_text(LISTS[name])
    with pytest.raises(VideoError, match=rf"{name}: not a video that can be read"):
        list(cut(tmp_path / name))


def test_the_concat_script_would_have_been_opened(video, tmp_path):
    """So the test above tests something."""
    (tmp_path / "a.mp4").write_bytes(video.read_bytes())
    (tmp_path / "concat.mp4").write_text(LISTS["concat.mp4"])
    with av.open(str(tmp_path / "concat.mp4")) as container:
        assert container.format.name == "concat"


def test_a_name_is_never_an_address(video, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "concat:a.mp4", "%d.mp4"):
        (tmp_path / name).write_bytes(video.read_bytes())
        with open_file(name) as container:
            assert "mp4" in container.format.name
        assert np.isclose(real_length(name), 4, atol=0.1)
