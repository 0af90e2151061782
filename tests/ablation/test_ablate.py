"""`avloc ablate`, with real runs at a tiny size."""

import json
import shutil
import subprocess
import sys

import pytest

from avloc.ablation.grid import Run
from avloc.cli import main
from avloc.data_pipelines import registry
from tests.command_line import command, contents

FILE = """
from avloc.ablation.declaration import Ablation, Cell, Shared

TINY = {
    "data.name": "toy_orchestra/tiny",
    "batch_size": 8,
    "image_size": 32,
    "model.width": 4,
    "model.blocks": (0, 0, 0, 1),
    "stage_one.warmup_epochs": 0,
    "stage_one.epochs": 1,
    "stage_two.epochs": 1,
}


def get_ablation():
    return Ablation(
        config="csol_toy.py",
        shared={"trunk": Shared("stage_one", TINY | {"stage_two.epochs": 0}, shown_as="one")},
        cells={"two": Cell(TINY, "trunk")},
        seeds=(0, 1),
    )
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The data set in `data`, the declaration in `mine.py`, a finished grid in `grid`."""
    place = tmp_path_factory.mktemp("ablate")
    registry.build("toy_orchestra/tiny", data_dir=place / "data")
    (place / "mine.py").write_text(FILE)
    arguments = asked(place, "--jobs", "2", "--data-dir", place / "data")
    process = command(*arguments)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    (place / "said").write_text(said)
    return place


def asked(place, *more):
    return ["ablate", "--config", place / "mine.py", "--workdir", place / "grid", *more]


def run(*arguments):
    return main([str(word) for word in arguments])


def test_a_grid_is_trained_and_tabled(place):
    grid, said = place / "grid", (place / "said").read_text()
    assert said.startswith((grid / "ablation.md").read_text())
    assert "4 of 4 cells (rows x seeds)." in said
    assert said.count("| CSOL after stage two | 2 of 2 |") == 2
    assert said.count("| CSOL after stage one | 2 of 2 |") == 2
    data = json.loads((grid / "ablation.json").read_text())
    solo, scenes = data["tables"]
    assert (solo["split"], scenes["split"]) == ("test", "cocktail_test")
    for seed in ("0", "1"):
        folder = grid / "two" / f"seed_{seed}"
        config = json.loads((folder / "config.json").read_text())
        start = grid / "shared" / "trunk" / f"seed_{seed}" / "stages" / "stage_one"
        assert config["init_from"] == str(start) and config["seed"] == int(seed)
        phases = [json.loads(line)["phase"] for line in (folder / "train.jsonl").open()]
        assert set(phases) == {"matching"}
        assert data["cells"]["two"]["runs"][seed]["seconds"] > 0
        rows = json.loads((folder / "metrics.json").read_text())["splits"]["cocktail_test"]
        assert list(rows) == ["CSOL after stage two"]
        found = scenes["scores"]["two"]["CIoU@0.3"]
        value = rows["CSOL after stage two"]["metrics"]["CIoU@0.3"]["value"]
        assert found["seeds"][seed] == value and found["interval"] == "videos"


def test_nothing_is_trained_again(place, capsys, monkeypatch):
    grid = place / "grid"
    before = contents(grid)
    monkeypatch.setattr(subprocess, "Popen", None)
    # Nor is the data needed.
    assert run(*asked(place, "--data-dir", place / "nowhere")) == 0
    tables = {str(grid / name): 0 for name in ("ablation.md", "ablation.json")}
    assert contents(grid) | tables == before | tables
    out, errors = capsys.readouterr()
    assert out == (place / "said").read_text() and errors == ""


def test_a_cell_that_fails_is_told_of(place, tmp_path, capsys, monkeypatch):
    def command(run, data_dir):
        assert data_dir == str(place / "data") and run.name == "two"
        return [
            sys.executable,
            "-S",
            "-c",
            "print('avloc: error: no more disk'); raise SystemExit(2)",
        ]

    monkeypatch.setattr(Run, "command", command)
    shutil.copytree(place / "grid" / "shared", tmp_path / "shared")
    where = ("--workdir", tmp_path, "--seeds", "0", "--data-dir", place / "data")
    assert run("ablate", "--config", place / "mine.py", *where) == 1
    out, errors = capsys.readouterr()
    assert "[1/2] cell two, seed 0: failed after" in errors
    assert errors.endswith("(exit status 2): avloc: error: no more disk\n")
    assert "1 of 2 cells (rows x seeds); missing: two (seed 0)." in out
    assert "| one " in out and "| two " not in out


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--cells", "three"], "there is no cell 'three'; there are one, two"),
        (["--seeds", "1", "1"], "an ablation needs seeds, each once, not [1, 1]"),
        (["--jobs", "0"], "--jobs is 1 or more, not 0"),
        (["--config", "nothing.py"], "there is no config file nothing.py; shipped ones: c2f_"),
        (["--data-dir", "nowhere"], "is not built in"),
        (["--config.seed=1"], "--config.FIELD=VALUE goes with `avloc train` only"),
    ],
)
def test_bad_words(place, tmp_path, capsys, words, sentence):
    assert run(*asked(place), "--workdir", tmp_path / "w", *words) == 2
    said = capsys.readouterr().err
    assert sentence in said and len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("TINY, ", "TINY | {'clusters': 9}, ", "config.clusters is 9, but toy_orchestra/tiny has"),
        ('"stage_one", ', '"stage_won", ', "has no stage 'stage_won'; its stages: stage_one"),
        ("batch_size", "batch_sise", "there is no field config.batch_sise; did you mean"),
        ("8", "'8'", "config.batch_size must be of type int, not '8'"),
    ],
)
def test_bad_files_write_nothing(place, tmp_path, capsys, old, new, sentence):
    assert old in FILE
    (tmp_path / "mine.py").write_text(FILE.replace(old, new))
    where = ("--workdir", tmp_path / "w", "--data-dir", place / "data")
    assert run("ablate", "--config", tmp_path / "mine.py", *where) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_a_folder_of_another_grid(place, tmp_path, capsys):
    before = contents(place / "grid")
    (tmp_path / "mine.py").write_text(FILE.replace('"image_size": 32', '"image_size": 48'))
    where = ("--workdir", place / "grid", "--data-dir", place / "data")
    assert run("ablate", "--config", tmp_path / "mine.py", *where) == 2
    assert "config.image_size: 32 there, 48 here" in capsys.readouterr().err
    assert contents(place / "grid") == before


@pytest.mark.parametrize("words", [["--help"], ["ablate", "--help"]])
def test_help_fits_a_screen(capsys, words):
    with pytest.raises(SystemExit):
        main(words)
    said = capsys.readouterr().out
    assert len(said.splitlines()) <= 24 and "ablate" in said
