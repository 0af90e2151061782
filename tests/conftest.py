import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from data_pipelines import registry
from data_pipelines.dataset import Dataset


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
