import pytest

from avloc.inference.inputs import find_inputs


@pytest.fixture
def folder(tmp_path):
    """A function that makes empty files below a folder."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def named(*given):
    return [(str(i.path.name), str(i.folder / i.name)) for i in find_inputs(given)]


def test_files_go_by_their_name(folder):
    root = folder("a/band.mp4", "b/duet.MOV", "b/odd.xyz")
    assert named(root / "a/band.mp4", str(root / "b/duet.MOV"), root / "b/odd.xyz") == [
        ("band.mp4", "band"),
        ("duet.MOV", "duet"),
        ("odd.xyz", "odd"),  # named: it is tried
    ]


def test_folders_are_searched_and_kept(folder):
    root = folder("b.mp4", "a.mkv", "drum/x/c.webm", "drum/n.txt", ".h/d.mp4", ".e.mp4")
    assert named(root) == [("a.mkv", "a"), ("b.mp4", "b"), ("c.webm", "drum/x/c")]
    assert named(root / "drum", root / "b.mp4") == [("c.webm", "x/c"), ("b.mp4", "b")]


def test_what_was_drawn_here_is_left_out(folder):
    root = folder("a.mp4", "out/a.localized.mp4")
    assert named(root) == [("a.mp4", "a")]


def test_videos_that_differ_in_their_ending_keep_it(folder):
    root = folder("a.mp4", "a.webm", "b.mp4", "c/a.mp4")
    assert named(root) == [
        ("a.mp4", "a.mp4"),
        ("a.webm", "a.webm"),
        ("b.mp4", "b"),
        ("a.mp4", "c/a"),
    ]


def test_a_video_given_twice_is_one(folder):
    root = folder("a.mp4")
    assert named(root, root / "a.mp4", root) == [("a.mp4", "a")]


def test_what_cannot_be_is_named(folder):
    root = folder("x/a.mp4", "y/a.mp4", "empty/n.txt")
    for given, sentence in (
        ([root / "x/a.mp4", root / "y/a.mp4"], r"x/a\.mp4 and .*y/a\.mp4 have the same name"),
        ([root / "empty"], r"empty: no video in this folder"),
        ([root / "x", root / "none.mp4"], r"none\.mp4: no such file"),
    ):
        with pytest.raises(ValueError, match=sentence):
            find_inputs(given)
