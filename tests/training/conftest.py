import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.training.line import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    """Trains a method of two small vectors."""
    return Bench(tmp_path, monkeypatch)


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
