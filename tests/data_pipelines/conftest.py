from pathlib import Path

import pytest

from tests.videos import write_video


def _fill(folder: Path, classes: int, videos: int, **settings) -> Path:
    """`classes` folders of two-second videos; each class has a pitch of its own."""
    for c in range(classes):
        (folder / f"class {c}").mkdir(parents=True)
        for v in range(videos):
            write_video(
                folder / f"class {c}" / f"{v}.mp4",
                **{"size": (48, 32), "frequency": 300 + 300 * c, "rate": 12} | settings,
            )
    return folder


@pytest.fixture
def fill():
    """Makes a folder of classes of videos."""
    return _fill


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """A folder of 4 classes of 3 videos of 2 seconds; not to be changed."""
    return _fill(tmp_path_factory.mktemp("source") / "My Videos!", 4, 3)
