"""A user's folder: files are found by name, however they lie."""

import pytest

from avloc.data_pipelines.builders.video_folder.folder import find_videos
from avloc.data_pipelines.collection import Folder, youtube_id


@pytest.mark.parametrize(
    "name",
    [
        "a-c_EFGHIJ0.mp4",
        "a-c_EFGHIJ0_0_1000.mp4",
        "A solo, live. [2019] [a-c_EFGHIJ0].webm",
    ],
)
def test_a_video_is_found_by_its_id(tmp_path, name):
    (tmp_path / "deep folder").mkdir()
    path = tmp_path / "deep folder" / name
    path.write_text("")
    assert youtube_id(name) == "a-c_EFGHIJ0"
    assert Folder(tmp_path).find("a-c_EFGHIJ0") == path


@pytest.mark.parametrize("name", ["a-c_EFGHIJ0 copy", "x [eleven words]", "[a-c_EFGHIJ0] x"])
def test_other_names_are_no_ids(name):
    assert youtube_id(f"{name}.mp4") == name


def test_links_to_nowhere_and_in_circles(tmp_path):
    (tmp_path / "list.txt").write_text("")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / ".hidden.mp4").write_text("")
    folder = Folder(tmp_path)
    assert [path.name for path in folder.files] == ["list.txt"]
    assert folder.annotation("list.txt", of="nobody") == tmp_path / "list.txt"
    assert folder.find("gone") is None


def test_a_link_up_gives_no_video_twice(tmp_path):
    (tmp_path / "cello").mkdir()
    (tmp_path / "cello" / "a.mp4").write_text("")
    (tmp_path / "cello" / "up").symlink_to(tmp_path)
    assert [video.name for video in find_videos(tmp_path)] == ["cello/a.mp4"]
