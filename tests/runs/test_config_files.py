"""Which file a config's name stands for, what that file may import, and old names in it."""

import re
import sys
from pathlib import Path

import pytest

import avloc.configs
from avloc.ablation.grid import load_ablation
from avloc.runs.config_files import call
from avloc.runs.experiment import load_config
from avloc.runs.old_names import MOVED

ROOT = Path(__file__).parents[2]
SHIPPED = Path(avloc.configs.__file__).parent
TOY = "from avloc.configs.csol_toy import get_config as toy\n"
SEED = TOY + "def get_config():\n    config = toy()\n    config.seed = {}\n    return config\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The working directory, not among the places of modules by itself, and nor is the checkout."""
    monkeypatch.chdir(tmp_path)
    hidden = {"", str(tmp_path), str(ROOT)}
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in hidden])
    before = set(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def sentence(name) -> str:
    with pytest.raises(ValueError) as error:
        load_config(name)
    return str(error.value)


@pytest.mark.parametrize("name", ["csol_toy", "csol_toy.py", "configs/csol_toy", "a/b/csol_toy.py"])
def test_a_shipped_config_is_found_by_its_name(project, name):
    assert load_config(name).data.name == "toy_orchestra"


def test_a_file_that_exists_wins_over_a_shipped_one(project):
    assert load_config("csol_toy").seed == load_config("csol_toy.py").seed == 0
    write(project / "csol_toy.py", SEED.format(5))
    assert load_config("csol_toy").seed == load_config("csol_toy.py").seed == 5
    assert load_config("configs/csol_toy.py").seed == 0
    write(project / "configs" / "csol_toy.py", SEED.format(6))
    assert load_config("configs/csol_toy").seed == load_config("configs/csol_toy.py").seed == 6
    assert load_config("csol_toy").seed == 5
    # What lies there under the name without `.py` is no config.
    write(project / "ier_toy", "a log")
    (project / "csol_wild").mkdir()
    assert load_config("ier_toy").method == "ier" and load_config("csol_wild").method == "csol"


def test_a_local_ablation_wins_too(project):
    assert "lambda=0" not in load_ablation("csol_lambda").cells
    cells = "from avloc.ablation.declaration import Ablation, Cell\ndef get_ablation():\n"
    cells += "    return Ablation(config='csol_toy', seeds=(0,), cells={'mine': Cell()})\n"
    write(project / "csol_lambda.py", cells)
    assert list(load_ablation("csol_lambda").cells) == ["mine"]
    assert list(load_ablation("csol_lambda.py").cells) == ["mine"]


def test_an_unknown_name_gets_the_nearest_one_and_all_that_are_shipped(project):
    with_it = [f.stem for f in SHIPPED.glob("*.py") if "def get_config(" in f.read_text()]
    assert {"csol_toy", "ier_music"} <= set(with_it) and "csol" not in with_it
    listed = ", ".join(sorted(with_it))
    for name in ("csol_tyo", "csol_tyo.py", "configs/csol_tyo.py"):
        assert sentence(name) == (
            f"there is no config file {name} (did you mean csol_toy?); shipped ones: {listed}"
        )
    assert sentence("xyzzy.py") == f"there is no config file xyzzy.py; shipped ones: {listed}"
    write(project / "mine" / "xyzzy_two.py", SEED.format(1))
    write(project / "mine" / "xyzzy_one.py", "the_rest = 1\n")
    assert "mine/xyzzy_ome (did you mean mine/xyzzy_two.py?); " in sentence("mine/xyzzy_ome")


def test_a_project_may_have_packages_of_our_names(project):
    for name in ("configs", "data_pipelines"):
        write(project / name / "__init__.py", "raise RuntimeError('this one is not ours')\n")
    assert load_config("csol_toy").seed == 0
    assert load_config("configs/csol_toy.py").seed == 0
    assert load_config(write(project / "mine.py", SEED.format(3))).seed == 3


def test_imports_find_the_file_s_own_folder_and_the_working_directory(project):
    write(project / "studies" / "__init__.py", "")
    write(project / "studies" / "seeds.py", "SEED = 7\n")
    write(project / "experiments" / "sibling.py", "SEED = 8\n")
    head = "from studies.seeds import SEED as a\nfrom sibling import SEED as b\n"
    write(project / "experiments" / "mine.py", head + SEED.format("10 * a + b"))
    before = sys.path[:]
    assert load_config("experiments/mine").seed == 78
    assert sys.path == before


def test_each_file_finds_its_own_siblings(project):
    for folder, seed in (("one", 1), ("two", 2)):
        write(project / folder / "sibling.py", f"SEED = {seed}\n")
        write(project / folder / "mine.py", "from sibling import SEED\n" + SEED.format("SEED"))
    assert [load_config(f"{folder}/mine.py").seed for folder in ("one", "two")] == [1, 2]


@pytest.mark.parametrize(
    "old, new",
    [
        ("from configs.csol import base", "from avloc.configs.csol import base"),
        ("from configs import csol as c", "from avloc.configs import csol as c"),
        ("import configs.csol as c", "import avloc.configs.csol as c"),
        (
            "from data_pipelines.dataset import Dataset",
            "from avloc.data_pipelines.dataset import Dataset",
        ),
        (
            "from data_pipelines.video import (\n    frames,\n)",
            "from avloc.data_pipelines.media.video import frames",
        ),
        (
            "from data_pipelines import records, registry",
            "from avloc.data_pipelines.records import reading as records; "
            "from avloc.data_pipelines import registry",
        ),
        (
            "from avloc.training.run_folder import RunFolder",
            "from avloc.runs.folder import RunFolder",
        ),
        (
            "from avloc.training import run_folder, step",
            "from avloc.runs import folder as run_folder; from avloc.training import step",
        ),
        ("from avloc.evaluation import report as r", "from avloc.drawing import page as r"),
    ],
)
def test_an_old_name_is_told_with_the_one_of_today(project, old, new):
    write(project / "mine.py", f"'''Mine.'''\n\n{old}\n{SEED.format(1)}")
    once = re.sub(r"\(\s*(\w+),\s*\)", r"\1", old)
    assert sentence("mine.py") == f"mine.py, line 3: write `{new}`, not `{once}`"
    # What it says to write can be imported.
    write(project / "mine.py", f"{new}\n{SEED.format(1)}".replace("import frames", "import *"))
    assert load_config("mine.py").seed == 1


def test_an_old_name_in_a_function_or_a_sibling_is_told_too(project):
    write(project / "mine.py", "def get_config():\n    from configs.ier import base\n")
    write(project / "other.py", "from sibling import base\n")
    sibling = write(project / "sibling.py", "from configs.ier import base\n")
    new = "write `from avloc.configs.ier import base`, not `from configs.ier import base`"
    assert sentence("mine") == f"mine.py, line 2: {new}"
    assert sentence("other") == f"{sibling}, line 1: {new}"


def test_what_a_project_of_ones_own_lacks_is_not_taken_for_ours(project):
    write(project / "configs" / "__init__.py", "")
    write(project / "configs" / "csol.py", "")
    for line, said in (
        ("from configs.mine import base", "no module named 'configs.mine'"),
        ("from configs import mine", "cannot import name 'mine' from 'configs'"),
        ("from configs.csol import base", "cannot import name 'base' from 'configs.csol'"),
        ("from .base import base", "attempted relative import with no known parent package"),
        ("import nothing_of_that_name", "no module named 'nothing_of_that_name'"),
        ("from data_pipelines import nothing", "no module named 'data_pipelines'"),
    ):
        write(project / "mine.py", f"{line}\n{SEED.format(1)}")
        assert sentence("mine.py").startswith(f"mine.py, line 1: {said}")
    # Its own package of our name, and the module of ours that it does not have.
    write(project / "mine.py", f"from configs.ier import base\n{SEED.format(1)}")
    assert "mine.py, line 1: write `from avloc.configs.ier import base`" in sentence("mine.py")


def test_a_file_that_is_no_python_is_told_with_the_line(project):
    write(project / "mine.py", "def get_config():\n    return (\n")
    assert re.fullmatch(r".*mine\.py, line 2: '\(' was never closed", sentence("mine.py"))


def test_a_file_without_the_function_is_refused(project):
    file = write(project / "mine.py", "x = 1\n")
    with pytest.raises(ValueError, match=r"mine\.py is not a config: it has no get_ablation\(\)"):
        call(file, "get_ablation", SHIPPED)


def test_every_module_that_moved_is_where_the_table_says():
    def is_there(module: str) -> bool:
        # The folder lies beside `avloc/`.
        inside = module.startswith("avloc.data_pipelines.")
        name = module.removeprefix("avloc.") if inside else module
        return (ROOT / f"{name.replace('.', '/')}.py").is_file()

    assert all(is_there(new) and not is_there(old) for old, new in MOVED.items())
    assert len(set(MOVED.values())) == len(MOVED)
