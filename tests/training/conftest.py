import pytest

from tests.training.line import Bench


@pytest.fixture
def bench(tmp_path, monkeypatch) -> Bench:
    """Trains a method of two small vectors."""
    return Bench(tmp_path, monkeypatch)
