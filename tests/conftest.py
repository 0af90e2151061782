import pytest

from data_pipelines import registry
from data_pipelines.dataset import Dataset


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory):
    """A data folder that holds toy_orchestra/tiny."""
    folder = tmp_path_factory.mktemp("toy")
    registry.build("toy_orchestra/tiny", data_dir=folder)
    return folder


@pytest.fixture(scope="session")
def toy(toy_dir) -> Dataset:
    """toy_orchestra/tiny, opened."""
    return Dataset(registry.open_dataset("toy_orchestra/tiny", toy_dir))
