"""The script that makes the first pictures of the README."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from avloc.data_pipelines.media.video import cut
from avloc.training.loading import load_run
from tests.inference.test_export import untrained_run
from tests.videos import write_video

pytestmark = pytest.mark.usefixtures("in_haste")

ROOT = Path(__file__).parents[1]
make_showcase = SimpleNamespace(**runpy.run_path(str(ROOT / "scripts" / "make_showcase.py")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where `data` is the small drawn data set."""
    folder = tmp_path_factory.mktemp("showcase")
    registry.build("toy_orchestra/tiny", data_dir=folder / "data")
    return folder


@pytest.fixture(scope="module")
def dataset(folder) -> Dataset:
    return Dataset(registry.open_dataset("toy_orchestra/tiny", folder / "data"))


def scored(run, split, protocol, column, scores):
    """Writes scores as `avloc evaluate` does; None: not scored."""
    table = run.path / "evaluation" / split / protocol / "stage_two" / "items.csv"
    table.parent.mkdir(parents=True)
    rows = [f"{n},{'no box,' if s is None else f',{s}'}" for n, s in enumerate(scores)]
    table.write_text("\n".join([f"index,not_scored,{column}", *rows]) + "\n")


def test_it_is_made_from_an_evaluated_run(folder, capsys):
    run = untrained_run(folder / "run")
    asked = ["--workdir", str(run.path), "--data-dir", str(folder / "data")]
    asked += ["--out", str(folder / "out")]
    assert make_showcase.main(asked) == 2
    assert f"make it by `avloc evaluate --workdir {run.path}`" in capsys.readouterr().err
    scored(run, "cocktail_test", "dsol-synthetic", "ciou", (0.5, 0.25, 0.75, 0.75, 0.1, 0.1, None))
    picked, count = make_showcase.ranked(run, load_run(run.path), "cocktail_test")
    assert count == 6
    assert picked == [
        ("best", "CIoU 0.75", 2),
        ("median", "CIoU 0.50", 0),
        ("worst", "CIoU 0.10", 4),
    ]
    video = write_video(folder / "short.mp4", seconds=1.0, size=(48, 32), rate=12)
    assert make_showcase.main([*asked, "--video", str(video)]) == 0
    with Image.open(folder / "out" / "found.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "RGB") and image.width > 900
    with Image.open(folder / "out" / "localize.webp") as image:
        assert (image.n_frames, image.width) == (make_showcase.RATE, make_showcase.WIDTH)


def test_clips_show_the_map_that_is_scored(folder, dataset):
    run = untrained_run(folder / "clips")
    scored(run, "test", "dsol-solo", "iou", (0.2, 0.9, 0.3))
    loaded = load_run(run.path)
    picked, count = make_showcase.ranked(run, loaded, "test")
    assert (count, picked[0]) == (3, ("best", "IoU 0.90", 1))
    canvas = np.asarray(make_showcase.found(loaded, dataset, "test", picked, count))
    side = make_showcase.SIDE
    above, below = canvas[58 : 58 + side, 70 : 70 + side], canvas[-side - 14 : -14, 70 : 70 + side]
    given = Image.fromarray(make_showcase._middle(dataset.source("test")[1]))
    np.testing.assert_array_equal(above, given.resize((side, side), Image.BICUBIC))
    assert (below != above).any()


def test_scenes_become_a_video(dataset, tmp_path):
    records = [dataset.source("cocktail_test")[place] for place in (0, 3)]
    clips = list(cut(make_showcase.write_scenes(tmp_path / "a.mp4", records)))
    assert [clip.place for clip in clips] == [0, 1]
    for clip, record in zip(clips, records, strict=True):
        views = (Image.fromarray(x) for x in (clip.frames[2], make_showcase._middle(record)))
        shown, given = (np.asarray(view.resize((32, 32)), float).ravel() for view in views)
        assert np.corrcoef(shown, given)[0, 1] > 0.9
        heard = np.corrcoef(clip.waveform[2000:14000], record["waveform"][2000:14000])[0, 1]
        assert heard > 0.7
