"""What the verbs say to type next: it works when it is pasted, in folders with spaces too."""

import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from avloc.cli import main
from avloc.configs import csol_folder, csol_folder_scratch
from avloc.data_pipelines.dataset import Dataset
from avloc.verbs import next_steps
from tests.command_line import CONFIG, command, suggested
from tests.videos import write_video


@pytest.fixture
def spaced(place, tmp_path, monkeypatch):
    """A working directory with a space in its name, and the finished run in `my run`."""
    folder = tmp_path / "my work"
    shutil.copytree(place / "run", folder / "my run")
    monkeypatch.chdir(folder)
    return folder


def test_from_a_build_to_a_training(place, spaced, capsys):
    data = ("--data-dir", "my data")
    assert main(["data", "list", *data]) == 0
    ((*words, last),) = suggested(capsys.readouterr().out)
    assert [*words[1:], last] == ["data", "build", "toy_orchestra/default", *data]
    assert main(["data", "build", "toy_orchestra/tiny", *data]) == 0
    preview, training = suggested(capsys.readouterr().out)
    assert main(preview[1:]) == 0
    assert (spaced / "preview_toy_orchestra_tiny_cocktail_test.png").is_file()
    assert suggested(capsys.readouterr().out) == [training]
    for words in (["data", "list", *data], ["data", "doctor", "toy_orchestra/tiny", *data]):
        assert main(words) == 0
        assert suggested(capsys.readouterr().out)[0] == preview
    # 16 scenes are fewer than the batch of the config.
    assert "--config.batch_size=16" in training
    quick = (*CONFIG[1:], "--config.evaluation.baselines=False")
    process = command(*training[1:], *quick)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    run = spaced / "runs" / "csol_toy"
    assert (run / "report.html").is_file()
    localize = ["--workdir", str(run), "--video", "VIDEO.mp4", "--out", str(run / "localized")]
    assert suggested(said) == [["avloc", "localize", *localize]]
    # The next one has a folder of its own.
    assert main(preview[1:]) == 0
    assert "runs/csol_toy_2" in suggested(capsys.readouterr().out)[0]


def test_from_scores_to_an_exported_model(place, spaced, capsys):
    data = ("--data-dir", str(place / "data"))
    asked = ["evaluate", "--workdir", "my run", *data, "--split", "test", "--stage", "stage_two"]
    assert main(asked) == 0
    whole = ["avloc", "evaluate", "--workdir", str(spaced / "my run"), *data]
    assert suggested(capsys.readouterr().out) == [whole]
    assert main(["report", "--workdir", "my run", *data]) == 0
    (localize,) = suggested(capsys.readouterr().out)
    write_video(spaced / "VIDEO.mp4", seconds=1.0)
    assert main(localize[1:]) == 0
    assert (spaced / "my run" / "localized" / "VIDEO.localized.mp4").is_file()
    (export,) = suggested(capsys.readouterr().out)
    assert main(export[1:]) == 0
    (example,) = suggested(capsys.readouterr().out)
    assert example == ["python", str(spaced / "my run_exported" / "load_example.py")]
    done = subprocess.run([sys.executable, *example[1:]], capture_output=True, text=True)
    assert done.returncode == 0 and "xylophone" in done.stdout, done.stderr
    assert main(["info", "my run"]) == 0
    assert suggested(capsys.readouterr().out)[0][1:3] == ["localize", "--workdir"]


def test_from_one_rule_to_all_rules(place, spaced, capsys):
    record = Dataset.open("toy_orchestra/tiny", place / "data").source("test")[0]
    (spaced / "my maps").mkdir()
    np.save(spaced / "my maps" / f"{record['id'].decode()}.npy", np.eye(4))
    words = ["score", "--maps", "my maps", "--data", "toy_orchestra/tiny", "--split", "test"]
    words += ["--data-dir", str(place / "data")]
    assert main([*words, "--protocol", "lvs-median"]) == 0
    (every,) = suggested(capsys.readouterr().out)
    assert main(every[1:]) == 0
    (kept,) = suggested(capsys.readouterr().out)
    assert main(kept[1:]) == 0
    assert (spaced / "score_my maps" / "score.md").is_file()


@pytest.mark.parametrize(
    ("spec", "splits", "config"),
    [
        ("toy_orchestra/default", ("train", "cocktail_train"), "csol_toy"),
        ("toy_orchestra/wild", ("train", "wild_train"), "csol_wild"),
        ("toy_orchestra/tiny_wild", ("train", "wild_train"), "csol_wild"),
        ("video_folder/band", ("train", "cocktail_train"), "csol_folder"),
        ("music/default", ("train",), "csol_music"),
        ("vggss/default", ("test",), None),
    ],
)
def test_the_config_for_a_data_set(spec, splits, config):
    found = next_steps._config_for(spec, splits)
    assert (found and found[0]) == config


def test_fields_that_a_small_data_set_needs():
    config = csol_folder_scratch.get_config()  # 16 clusters, batches of 32
    fitted = next_steps._fitted
    assert fitted(config, {"train": 100, "cocktail_train": 40}, 9) == []
    assert fitted(config, {"train": 100, "cocktail_train": 20}, 20) == [
        "--config.batch_size=16",
        "--config.clusters=20",
    ]
    assert fitted(config, {"train": 10}, 3) == [
        "--config.batch_size=8",
        "--config.clusters=10",
        "--config.stage_two.epochs=0",
    ]
    # Without a stage two, scenes need not be enough for it.
    config = csol_folder.get_config()
    assert fitted(config, {"train": 100, "cocktail_train": 20}, 20) == ["--config.clusters=20"]
    assert fitted(config, {"train": 10}, 3) == ["--config.batch_size=8", "--config.clusters=10"]


def test_a_video_of_the_users_own_is_named(tmp_path):
    (tmp_path / "a class").mkdir()
    (tmp_path / "a class" / "notes.txt").touch()
    video = tmp_path / "a class" / "one.MP4"
    video.touch()
    assert video in next_steps.localizing(tmp_path, {"source": str(tmp_path)})
    assert "VIDEO.mp4" in next_steps.localizing(tmp_path, {"source": str(tmp_path / "gone")})


def test_paths_are_quoted(capsys):
    next_steps.show(["info", "a run"], "as it is")
    assert capsys.readouterr().out == "next         avloc info 'a run'\n             as it is\n"
    assert shlex.split("avloc info 'a run'") == ["avloc", "info", "a run"]
