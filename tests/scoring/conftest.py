from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from avloc.configs.csol import base
from avloc.data_pipelines.dataset import Dataset
from avloc.runs.checkpoints import record_info, save_stage
from avloc.runs.folder import RunFolder
from avloc.scoring.run import Scorer
from avloc.training.methods import METHODS
from avloc.types import DatasetInfo, TrainState
from tests.scoring.halves import NAMES, Brightness


def opened(splits, names=NAMES, name="", fingerprint=""):
    """A data set of records in memory."""
    sizes = {split: len(items) for split, items in splits.items()}
    dataset = Dataset.__new__(Dataset)
    dataset.info = DatasetInfo(sizes, tuple(names), name=name, fingerprint=fingerprint)
    dataset.builder = SimpleNamespace(info=SimpleNamespace(full_name="halves"))
    dataset._open = splits.__getitem__
    return dataset


@pytest.fixture
def dataset_of():
    """Makes a data set of records in memory."""
    return opened


@pytest.fixture
def scorer(tmp_path, monkeypatch):
    """Makes a scorer of a run on data of given splits."""
    monkeypatch.setitem(METHODS, "brightness", Brightness)

    def make(splits, names=NAMES, scene_tests=("cocktail_test",), **evaluation):
        config = base()
        config.method, config.clusters, config.batch_size, config.image_size = (
            "brightness",
            2,
            3,
            32,
        )
        config.data.name, config.data.threads = "halves", 0
        config.data.scene_tests = scene_tests
        config.evaluation.update(evaluation)
        config.lock()
        dataset = opened(splits, names)
        run = RunFolder(tmp_path / "run")
        run.open_for_training(config)
        record_info(run, dataset.info)
        for name, gain in (("stage_one", 0.0), ("stage_two", 1.0)):
            variables = {"params": {"gain": jnp.float32(gain)}}
            state = TrainState(variables, {}, {"shift": jnp.zeros((), jnp.int32)}, 0)
            save_stage(run, name, state)
        run.release()
        return Scorer(run, dataset)

    return make
