"""What is built and what is installed: the sdist, the wheel, and avloc run from that wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import avloc
from tests.command_line import CONFIG
from tests.test_packaging import ROOT, project

# Everything that the repository holds.
FOLDERS = (
    ".ci",
    ".github",
    "avloc",
    "benchmarks",
    "colab",
    "configs",
    "data_pipelines",
    "docs",
    "requirements",
    "scripts",
    "tests",
)
FILES = ("*.cff", "*.in", "*.lock", "*.md", "*.py", "*.toml", "*.yml", "LICENSE", "Makefile")
DOTTED = (".gitignore", ".pre-commit-config.yaml")
# Less to compile and to score than for the tests of what a training does.
TINIER = (
    "--config.batch_size=16",
    "--config.model.blocks=(0,0,0,1)",
    "--config.kmeans.restarts=1",
    "--config.evaluation.baselines=False",
)
# What tools leave behind.
CACHES = {"__pycache__", ".ipynb_checkpoints"}


def tree(root: Path) -> set[str]:
    found = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
    found += [path for pattern in (*FILES, *DOTTED) for path in root.glob(pattern)]
    return {
        str(path.relative_to(root))
        for path in found
        if path.is_file() and not CACHES & set(path.parts)
    }


def build(kind: str, root: Path, out: Path) -> Path:
    """Builds as pip does, by setuptools' hooks, but without looking for a newer setuptools."""
    code = f"import sys\nfrom setuptools import build_meta\nbuild_meta.build_{kind}(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return next(out.iterdir())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what this file lies in, where building leaves its folders."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in tree(ROOT):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def sdist(checkout, tmp_path_factory) -> Path:
    """The unpacked sdist."""
    archive = build("sdist", checkout, tmp_path_factory.mktemp("sdist"))
    with tarfile.open(archive) as file:
        file.extractall(archive.parent, filter="data")
    assert archive.name == f"avloc-{avloc.__version__}.tar.gz"
    return archive.parent / f"avloc-{avloc.__version__}"


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory) -> Path:
    """Built from the sdist, as `python -m build` does."""
    return build("wheel", sdist, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as file:
        return message_from_string(
            file.read(f"avloc-{avloc.__version__}.dist-info/METADATA").decode()
        )


def test_the_sdist_holds_the_whole_project(checkout, sdist):
    made = {"PKG-INFO", "avloc.egg-info", "setup.cfg"}
    assert tree(sdist) == tree(checkout)
    assert {path.name for path in sdist.iterdir()} - made == {
        path.name for path in checkout.iterdir()
    } - made


def test_the_wheel_holds_one_package(wheel, checkout):
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
    record = f"avloc-{avloc.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"avloc", record}
    inside = ("configs/", "data_pipelines/")
    expected = {name for name in tree(checkout) if name.startswith("avloc/")}
    expected |= {f"avloc/{name}" for name in tree(checkout) if name.startswith(inside)}
    assert {"avloc/py.typed", "avloc/configs/csol_toy.py"} <= expected
    assert {name for name in names if name.startswith("avloc/")} == expected


def test_the_metadata_say_what_avloc_is(metadata):
    assert metadata["Name"] == "avloc" and metadata["Version"] == avloc.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Author"] == "The avloc authors"
    assert f"- name: {metadata['Author']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text("utf-8").strip()
    addresses = dict(line.split(", ") for line in metadata.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Changelog", "Issues"} <= set(addresses)
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_the_metadata_list_every_requirement(metadata):
    wanted = {str(Requirement(line)) for line in project()["dependencies"]}
    for extra, lines in project()["optional-dependencies"].items():
        wanted |= {str(Requirement(f'{line}; extra == "{extra}"')) for line in lines}
    assert {str(Requirement(line)) for line in metadata.get_all("Requires-Dist")} == wanted
    assert set(metadata.get_all("Provides-Extra")) == set(project()["optional-dependencies"])


# The installed wheel.


class Installed:
    """A virtual environment with the wheel, and a user's project to work in.

    Other libraries are borrowed from the environment of this test by a file that adds its folders
    to the places of modules; what is installed there for editing stays asleep.
    """

    def __init__(self, wheel: Path, folder: Path):
        self.bin, self.project = folder / "venv" / "bin", folder / "project"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel)
        pip = (sys.executable, "-m", "pip", "--python", self.bin / "python", *install)
        done = subprocess.run(pip, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        borrowed = [
            place for place in sys.path if place.endswith(("site-packages", "dist-packages"))
        ]
        own = next((folder / "venv" / "lib").glob("python*/site-packages"))
        (own / "borrowed.pth").write_text("\n".join(borrowed) + "\n")
        for name in ("configs", "data_pipelines"):
            (self.project / name).mkdir(parents=True)
            stop = f"raise RuntimeError('the project has its own {name}')\n"
            (self.project / name / "__init__.py").write_text(stop)

    def run(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in the project's folder."""
        leave = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TFDS_DATA_DIR")
        clean = {key: value for key, value in os.environ.items() if key not in leave}
        program, *arguments = map(str, words)
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.project,
            env=clean | {"JAX_PLATFORMS": "cpu"} | more,
            capture_output=True,
            text=True,
        )

    def avloc(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", "avloc", *words, PYTHONPATH=str(self.project), **more)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("installed"))


def test_it_is_the_wheel_that_runs(installed):
    code = "import avloc, avloc.configs, avloc.data_pipelines as d\n"
    code += "print(avloc.__file__, avloc.configs.__file__, d.__file__)"
    done = installed.run("python", "-c", code)
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) == 3
    assert all(Path(file).is_relative_to(installed.bin.parent) for file in files)


def test_the_wheel_lists_and_loads_every_shipped_config(installed):
    shipped = {
        f.stem for f in (ROOT / "configs").glob("*.py") if "def get_config(" in f.read_text()
    }
    code = "import sys\nfrom avloc.runs.experiment import load_config\n"
    code += "for name in sys.argv[1:]: print(name, load_config(name).is_locked)"
    for place in ({}, {"PYTHONPATH": str(installed.project)}):
        done = installed.run(
            "python", "-m", "avloc", "train", "--config=xyzzy", "--workdir=w", **place
        )
        assert done.returncode == 2
        listed = re.fullmatch(
            r"avloc: error: there is no config file xyzzy; shipped ones: (.*)\n", done.stderr
        )
        assert set(listed[1].split(", ")) == shipped
    paths = [path for name in sorted(shipped) for path in (name, f"configs/{name}.py")]
    done = installed.run("python", "-c", code, *paths, PYTHONPATH=str(installed.project))
    assert done.stdout.splitlines() == [f"{path} True" for path in paths], done.stderr


def test_both_programs_import_from_the_file_s_folder_and_the_working_directory(installed):
    folder = installed.project / "experiments"
    folder.mkdir()
    (installed.project / "studies.py").write_text("PLACE = 'here'\n")
    (folder / "sibling.py").write_text("BESIDE = 'beside'\n")
    (folder / "exp.py").write_text(
        "from avloc.configs.csol_toy import get_config as toy\nfrom sibling import BESIDE\n"
        "from studies import PLACE\ndef get_config():\n    config = toy()\n"
        "    config.data.name = f'{PLACE}_{BESIDE}'\n    return config\n"
    )
    for program in (("python", "-m", "avloc"), ("avloc",)):
        done = installed.run(*program, "train", "--config=experiments/exp.py", "--workdir=w")
        assert done.returncode == 2
        assert "avloc: error: no data set is called 'here_beside'" in done.stderr


def test_the_wheel_trains_a_config_of_the_user_s_own(installed):
    (installed.project / "mine.py").write_text(
        "from avloc.configs.csol import base, from_scratch\n"
        "from avloc.configs.csol_toy import small\n"
        "def get_config():\n    config = from_scratch(base())\n    small(config)\n"
        "    config.data.name = 'toy_orchestra/tiny'\n    config.lock()\n    return config\n"
    )
    fields = [word for word in CONFIG if not word.startswith("--config=")] + [*TINIER]
    quickly = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    for words in (
        ("data", "build", "toy_orchestra/tiny", "--data-dir=data"),
        ("train", "--config=mine.py", *fields, "--workdir=run", "--data-dir=data"),
    ):
        done = installed.avloc(*words, **quickly)
        assert done.returncode == 0, done.stderr
    assert "CSOL after stage two" in done.stdout
    assert (installed.project / "run" / "report.html").is_file()
