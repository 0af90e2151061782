import shutil
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from avloc.cli import main
from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from tests.command_line import CONFIG, command
from tests.training.line import Bench


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Dataset:
    """toy_orchestra/tiny."""
    return Dataset(registry.build("toy_orchestra/tiny", data_dir=tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory):
    """Programs that several runs share are compiled once."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("cache")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for values in (settings, before):
        for name, value in values.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
        if values is settings:
            yield


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with the data set in `data`, a finished run in `run` and what it said in `said`."""
    place = tmp_path_factory.mktemp("cli")
    data = ("--data-dir", place / "data")
    for arguments in (
        ("data", "build", "toy_orchestra/tiny", *data),
        ("train", *CONFIG, "--workdir", place / "run", *data),
    ):
        process = command(*arguments, cache=place / "cache")
        said, errors = process.communicate()
        assert process.returncode == 0, errors
    (place / "said").write_text(said)
    return place


@pytest.fixture
def fails(capsys):
    """Runs a command that is refused; gives its sentence."""

    def run(*arguments):
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("avloc: error: "), lines
        return lines[0].removeprefix("avloc: error: ")

    return run


@pytest.fixture
def copy(place, tmp_path) -> Path:
    """A copy of the finished run, to be spoilt."""
    return shutil.copytree(place / "run", tmp_path / "run")


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    """Trains a method of two small vectors."""
    return Bench(tmp_path, monkeypatch)
