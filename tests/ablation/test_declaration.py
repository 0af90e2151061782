"""What a declaration may say, the runs it makes, and that the shipped ones fit their configs."""

import re
import sys
from pathlib import Path

import pytest

import avloc.configs.ablations
from avloc.ablation.declaration import Ablation, Cell, Shared
from avloc.ablation.grid import Grid, check_stage, load_ablation
from avloc.runs.experiment import load_config
from avloc.training.methods import create
from avloc.training.warm_start import first_phase
from avloc.types import DatasetInfo

SHIPPED = sorted(
    path
    for path in Path(avloc.configs.ablations.__file__).parent.glob("*.py")
    if "def get_ablation" in path.read_text()
)
TRUNK = {"trunk": Shared("stage_one", {"stage_two.epochs": 0})}


def ablation(cells, **fields):
    return Ablation("csol_toy.py", cells, **fields)


def test_the_runs_of_a_grid(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = {"b": Cell({"stage_two.product": False}, "trunk"), "c": Cell({"clusters": 13})}
    grid = Grid(ablation(cells, shared=TRUNK, seeds=(3, 5)), "w")
    trunk, b, c = grid.shared["trunk"][5], grid.cells["b"][5], grid.cells["c"][3]
    assert trunk.folder == tmp_path / "w" / "shared" / "trunk" / "seed_5"
    assert c.folder == tmp_path / "w" / "c" / "seed_3"
    assert (b.config.seed, b.config.stage_two.product, b.config.clusters) == (5, False, 10)
    assert not any(run.config.evaluation.baselines for run in (trunk, b, c))
    stage = f"{tmp_path}/w/shared/trunk/seed_5/stages/stage_one"
    assert b.command("data") == [
        *(sys.executable, "-m", "avloc", "train", "--config", "csol_toy.py"),
        *("--workdir", f"{tmp_path}/w/b/seed_5", "--config.evaluation.baselines=False"),
        *("--config.stage_two.product=False", "--config.seed=5", f"--config.init_from={stage}"),
        *("--data-dir", "data"),
    ]
    assert not any(word.startswith("--config.init_from") for word in c.command())
    # Shared runs first, each once, and only where somebody needs it.
    assert [(run.name, run.seed) for run in grid.choose()] == [
        *(("trunk", 3), ("trunk", 5), ("b", 3), ("b", 5), ("c", 3), ("c", 5)),
    ]
    assert [run.name for run in grid.choose(["c"])] == ["c", "c"]
    with pytest.raises(ValueError, match=r"there is no cell 'd'; there are b, c"):
        grid.choose(["d"])


def test_a_shared_run_may_start_from_another(tmp_path):
    shared = TRUNK | {"middle": Shared("stage_one", {"clusters": 13}, start="trunk")}
    cells = {"a": Cell({}, "middle"), "b": Cell({"clusters": 12}, "trunk")}
    grid = Grid(ablation(cells, shared=shared, seeds=(3, 5)), tmp_path)
    middle, trunk = grid.shared["middle"][3], grid.shared["trunk"][3]
    assert grid.cells["a"][3].after is middle and middle.after is trunk
    order = [(run.name, run.seed) for run in grid.choose(["a"])]
    assert order == [("trunk", 3), ("trunk", 5), ("middle", 3), ("middle", 5), ("a", 3), ("a", 5)]
    with pytest.raises(ValueError, match="middle starts from 'trunk', which is not among"):
        ablation(cells, shared={"middle": shared["middle"]} | TRUNK)


def test_a_cell_may_have_its_own_config_and_ask_for_baselines(tmp_path):
    cells = {
        "a": Cell({"evaluation.baselines": True}),
        "wild": Cell({}, config="csol_wild.py"),
    }
    grid = Grid(ablation(cells), tmp_path)
    assert grid.cells["a"][0].config.evaluation.baselines
    assert grid.cells["wild"][0].config.data.name == "toy_orchestra/wild"


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"cells": {}}, "the ablation has no cells"),
        ({"cells": {"a": Cell()}, "seeds": ()}, "needs seeds, each once, not []"),
        ({"cells": {"a": Cell()}, "seeds": (1, 1)}, "needs seeds, each once, not [1, 1]"),
        ({"cells": {"a/b": Cell()}}, "'a/b' cannot name a run"),
        ({"cells": {"shared": Cell()}}, "'shared' cannot name a run"),
        ({"cells": {"a": Cell({}, "trunk")}}, "a starts from 'trunk', which is not among"),
        (
            {"cells": {"a": Cell()}, "shared": {"t": Shared("stage_one", shown_as="a")}},
            "two rows of the ablation have the name 'a'",
        ),
        (
            {"cells": {"a": Cell({"stage_two.produkt": False})}},
            "cell a: there is no field config.stage_two.produkt; did you mean",
        ),
        ({"cells": {"a": Cell({"clusters": "many"})}}, "cell a: config.clusters must be of type"),
        ({"cells": {"a": Cell({"clusters": "13"})}}, "cell a: config.clusters must be of type int"),
        ({"cells": {"a": Cell({"clusters": 13.0})}}, "cell a: config.clusters must be of type int"),
        ({"cells": {"a": Cell({"stage_two.kl": 1})}}, "config.stage_two.kl must be of type str"),
        ({"cells": {"a": Cell({"seed": 1})}}, "cell a: config.seed is set by the runner"),
        ({"cells": {"a": Cell({"stage_two": 1})}}, "config.stage_two is a group of fields"),
        (
            {"cells": {"a": Cell({"clusters": 13}), "b": Cell({"clusters": 13})}},
            "cells a and b are the same run",
        ),
        # 10 is what the config says anyway.
        (
            {"cells": {"a": Cell(), "b": Cell({"clusters": 10})}},
            "cells a and b are the same run",
        ),
        (
            {"cells": {"a": Cell()}, "columns": (("duets", "AUC"),)},
            "no cell is scored on split 'duets', which the ablation's columns name; cells are on "
            "cocktail_test, test",
        ),
        ({"cells": {"a": Cell(config="nothing.py")}}, "there is no config file nothing.py"),
    ],
)
def test_bad_declarations(fields, sentence, tmp_path):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Grid(ablation(**fields), tmp_path / "w")
    assert list(tmp_path.iterdir()) == []


def test_bad_files(tmp_path):
    with pytest.raises(ValueError, match=r"file nothing\.py; shipped ones: c2f_parts, csol_alt"):
        load_ablation("nothing.py")
    file = tmp_path / "mine.py"
    file.write_text("x = 1")
    with pytest.raises(ValueError, match=r"it has no get_ablation\(\)"):
        load_ablation(file)
    file.write_text(
        "from avloc.ablation.declaration import Cell\ndef get_ablation(): return Cell(change={})"
    )
    with pytest.raises(ValueError, match=r"mine.py is not an ablation: .*'change'"):
        load_ablation(file)


def test_a_stage_that_is_never_reached(tmp_path):
    shared = {"trunk": Shared("stage_two", {"stage_two.epochs": 0})}
    grid = Grid(ablation({"a": Cell({}, "trunk")}, shared=shared), tmp_path)
    sentence = "shared run trunk has no stage 'stage_two'; its stages: stage_one"
    with pytest.raises(ValueError, match=sentence):
        check_stage(grid.shared["trunk"][0], DatasetInfo({}))


def test_a_folder_with_a_run_of_another_config(tmp_path):
    def cell(change, start="trunk", where="w"):
        cells = {"a": Cell({"stage_two.product": change}, start)}
        return Grid(ablation(cells, shared=TRUNK), tmp_path / where).cells["a"][0]

    there = cell(True)
    there.check_folder()
    there.folder.mkdir(parents=True)
    config = there.config.copy_and_resolve_references()
    with config.unlocked():
        config.init_from = there.init_from
        del config.evaluation["scene_size"]  # an older version's
    (there.folder / "config.json").write_text(config.to_json_best_effort())
    there.check_folder()
    with pytest.raises(ValueError, match=r"config\.stage_two\.product: True there, False here"):
        cell(False).check_folder()
    with pytest.raises(ValueError, match=r"another config.*config\.init_from"):
        cell(True, start="").check_folder()
    (tmp_path / "w").rename(tmp_path / "moved")
    cell(True, where="moved").check_folder()


def test_the_shipped_ones():
    assert [path.stem for path in SHIPPED] == [
        "c2f_parts",
        "csol_alternation",
        "csol_clusters",
        "csol_lambda",
        "csol_many_clusters",
        "csol_mask",
        "csol_missing_categories",
        "csol_noise",
        "csol_stage_two",
        "csol_start",
        "ier_curriculum",
        "ier_filters",
        "ier_interference",
        "ier_mask_rules",
        "ier_modules",
        "own_videos",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_ablation_fits_its_configs(path, tmp_path):
    grid = Grid(load_ablation(path.name), tmp_path)
    info = DatasetInfo({})
    for runs in (*grid.shared.values(), *grid.cells.values()):
        run = runs[0]
        check_stage(run, info)
        config = run.config.copy_and_resolve_references()
        config.init_from = run.init_from if run.after else ""  # weights start at the first phase
        phases = list(create(config, info).phases())
        # Something is left to train behind the start, and it ends with a stage to score.
        assert first_phase(config, phases) < len(phases) and phases[-1].checkpoint_name
    source = re.sub(r"\s+", " ", path.read_text())
    # Those of a method share what they train.
    folder = path.stem.split("_")[0]
    assert f"avloc ablate --config configs/ablations/{path.name} --workdir runs/{folder}`" in source
    assert "The paper" in source and grid.ablation.note.startswith("Expected: ")
    assert grid.ablation.columns


PAPER_BASES = {
    "c2f": ["c2f_audioset.py"],
    "csol": ["csol_music.py"],
    "ier": ["ier_music.py", "csol_music.py"],
    "own": ["csol_folder.py", "ier_folder.py"],
}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_ablation_runs_on_the_papers_data(path, tmp_path):
    bases = PAPER_BASES[path.stem.split("_")[0]]
    first = load_config(bases[0])
    grid = Grid(load_ablation(path.name), tmp_path, (0,), bases)
    assert grid.config == bases[0]
    for runs in (*grid.shared.values(), *grid.cells.values()):
        run = runs[0]
        check_stage(run, DatasetInfo({}))
        assert run.file in bases and run.command()[4] == "--config"
        assert run.config.data.name == first.data.name and run.config.image_size == first.image_size
        assert run.config.clusters == first.clusters or "clusters" in run.changes
        if run.after is None:
            assert run.init_from == run.changes.get("init_from", first.init_from)


def test_a_base_takes_the_data_of_the_first(tmp_path):
    csol = Cell({}, config="csol_wild.py")
    declared = Ablation("ier_toy.py", {"IEr": Cell(), "CSOL": csol}, seeds=(0,))
    grid = Grid(declared, tmp_path, bases=["ier_music", "csol_music"])
    run = grid.cells["CSOL"][0]
    assert (run.file, run.config.method, run.config.clusters) == ("csol_music", "csol", 20)
    assert run.config.data.to_dict() == load_config("ier_music").data.to_dict()
    assert "--config.data.name=music+music_unconstrained" in run.command()
    assert "--config.clusters=20" in run.command()
    for bases, sentence in (
        (["ier_music"], "CSOL is of method csol, and --base names a config of ier alone"),
        (["csol_music"], "IEr is of method ier, and --base names a config of csol alone"),
        (["csol_music", "dsol_music"], "csol_music and dsol_music, both of method csol"),
        (["nothing"], "no config file nothing"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Grid(declared, tmp_path, bases=bases)


def test_a_cell_without_a_start_may_choose_its_weights(tmp_path):
    scratch = ablation({"a": Cell(), "b": Cell({"init_from": "weights/own"})}, shared=TRUNK)
    run = Grid(scratch, tmp_path).cells["b"][0]
    assert run.init_from == run.config.init_from == "weights/own"
    assert run.command().count("--config.init_from=weights/own") == 1
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text(run.config.to_json_best_effort())
    run.check_folder()  # it goes on
    started = ablation({"a": Cell({"init_from": "weights/own"}, "trunk")}, shared=TRUNK)
    with pytest.raises(ValueError, match=r"cell a: config\.init_from is set by the runner"):
        Grid(started, tmp_path)
