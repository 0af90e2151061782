import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest

from avloc.cli import main
from avloc.data_pipelines import registry
from avloc.data_pipelines.dataset import Dataset
from tests.command_line import CONFIG, command
from tests.training.line import Bench

# Every program is compiled once for all workers and all processes that tests start.
COMPILE_ONCE = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def pytest_configure(config):
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # a worker: it has what its parent set
        return
    cache = tempfile.TemporaryDirectory(prefix="avloc_tests_", ignore_cleanup_errors=True)
    config.add_cleanup(cache.cleanup)
    os.environ |= COMPILE_ONCE | {"JAX_COMPILATION_CACHE_DIR": cache.name}
    # Without workers jax was imported before this line.
    jax.config.update("jax_compilation_cache_dir", cache.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="module")
def in_haste():
    """Programs are compiled in haste: for tests that look at no value that a few bits could change.

    XLA's gradient of a maximum is then another one where padding is.
    """
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Dataset:
    """toy_orchestra/tiny."""
    return Dataset(registry.build("toy_orchestra/tiny", data_dir=tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """A folder with the data set in `data`, a finished run in `run` and what it said in `said`."""
    place = tmp_path_factory.mktemp("cli")
    data = ("--data-dir", place / "data")
    for arguments in (
        ("data", "build", "toy_orchestra/tiny", *data),
        ("train", *CONFIG, "--workdir", place / "run", *data),
    ):
        process = command(*arguments)
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
