"""A stretch of a YouTube video is found in whichever form it lies in a folder."""

import pytest

from avloc.data_pipelines.collection import Folder
from avloc.data_pipelines.media.youtube_clips import YouTubeClips
from tests.videos import write_video

SMALL = {"size": (32, 32), "rate": 2, "channels": 1, "sample_rate": 16000}


def clips(folder, *names: str) -> YouTubeClips:
    for name in names:
        (folder / name).write_text("")
    return YouTubeClips(Folder(folder))


@pytest.mark.parametrize(
    "name",
    [
        "a-c_EFGHIJ0_000030.mp4",
        "a-c_EFGHIJ0_30_40.webm",
        "a-c_EFGHIJ0_30.000_40.000.mkv",
        "a-c_EFGHIJ0_30000_40000.mp4",
        "a-c_EFGHIJ0.mp4",
        "A title [a-c_EFGHIJ0].mp4",
    ],
)
def test_a_clip_that_is_cut_already_begins_at_its_begin(tmp_path, name):
    found = clips(tmp_path, name).find("a-c_EFGHIJ0", 30.0)
    assert (found.path.name, found.start, found.length) == (name, 0, 10)


def test_of_several_clips_the_one_of_that_start_is_taken(tmp_path):
    names = ("aaaaaaaaaa0_000000.mp4", "aaaaaaaaaa0_000030.mp4", "aaaaaaaaaa0_000030.wav")
    files = clips(tmp_path, *names)
    assert files.find("aaaaaaaaaa0", 30).path.name == names[1]
    assert files.find("aaaaaaaaaa0", 0).path.name == names[0]
    assert files.find("aaaaaaaaaa0", 60).path is None
    assert files.find("aaaaaaaaaa1", 0).path is None


def test_only_a_file_longer_than_the_stretch_is_a_whole_video(tmp_path):
    write_video(tmp_path / "aaaaaaaaaa0.mp4", seconds=14, **SMALL)
    write_video(tmp_path / "aaaaaaaaaa1.mp4", seconds=10, **SMALL)
    write_video(tmp_path / "aaaaaaaaaa2_0_1000.mp4", seconds=14, **SMALL)
    files = clips(tmp_path)
    assert [files.find(f"aaaaaaaaaa{n}", 4).start for n in range(3)] == [4, 0, 4]
    assert files.find("aaaaaaaaaa0").start == 0
    assert files.find("aaaaaaaaaa0", 2, length=20).start == 0


def test_names_that_are_no_id_are_passed_over(tmp_path):
    files = clips(tmp_path, "aaaaaaaaaa0_notes.mp4", "short.mp4", "aaaaaaaaaa0.txt")
    assert files.find("aaaaaaaaaa0", 0).path is None
