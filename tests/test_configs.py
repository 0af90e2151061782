"""Every config loads by its name and trains through all of its phases, at a tiny size."""

from pathlib import Path

import jax
import numpy as np
import pytest

import avloc.configs
from avloc.machine.stopping import Interrupted
from avloc.runs.experiment import differences, load_config, override
from avloc.runs.folder import RunFolder
from avloc.training import loop
from avloc.training.loading import load_run
from avloc.types import Batch
from tests.training.line import Given, after

pytestmark = pytest.mark.usefixtures("compile_once")

NAMES = sorted(
    path.stem
    for path in Path(avloc.configs.__file__).parent.glob("*.py")
    if "def get_config" in path.read_text()
)
PAPERS = ("csol_vggsound", "dsol_music", "ier_music", "ier_vggsound")
TINY = {
    "data.name": "toy_orchestra/tiny",
    "data.stage_two": "cocktail_train",
    "data.threads": "1",
    "image_size": "32",
    "batch_size": "16",
    "model.width": "4",
    "model.blocks": "(0,0,0,1)",
    "clusters": "10",
    "kmeans.restarts": "1",
    "stage_one.epochs": "2",
    "stage_one.mixtures_after": "1",
    "stage_one.classification_passes": "1",
    "stage_two.epochs": "1",
}
TINY_IER = {"identifier.middle": "8", "identification.epochs": "2"}


def tiny(name):
    config = load_config(f"{name}.py")
    assert config.is_locked
    override(config, TINY.items())
    if config.method == "ier":
        override(config, TINY_IER.items())
    override(config, [("stage_one.warmup_epochs", str(min(1, config.stage_one.warmup_epochs)))])
    return config


def train(config, folder, dataset):
    run = RunFolder(folder)
    run.open_for_training(config)
    try:
        return run, loop.train(config, run, dataset)
    finally:
        run.release()


def history(run):
    return [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in run.epochs()]


def test_the_shipped_experiments():
    assert {"csol_toy", "csol_folder", "csol_vggsound", "dsol_music"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_config_trains(name, toy, tmp_path):
    config = tiny(name)
    run, state = train(config, tmp_path, toy)
    phases = [row["phase"] for row in run.epochs()]
    warm = ["warm-up"] * bool(config.stage_one.warmup_epochs)
    # The papers' configs begin to classify in the second epoch; the others mix sounds from it on.
    first = ["localization"] if name in PAPERS else ["localization", "clusters", "classification"]
    second = ["localization", "clusters", "classification"]
    if config.stage_one.mixtures:
        second = ["mixed localization", "clusters", "mixed classification"]
    last = ["matching"]
    if config.method == "ier":
        last = ["clusters", "identification"] * 2 + ["clusters", "referral"]
    assert phases == [*warm, *first, *second, "clusters", *last]
    assert all(np.isfinite(row["loss"]) for row in run.epochs() if row["phase"] != "clusters")
    # 64 clips and 16 scenes, in batches of 16.
    clips = [phase for phase in phases if phase not in ("clusters", "matching", "referral")]
    assert int(state.step) == 4 * len(clips) + 1
    loaded = load_run(tmp_path)
    for a, b in zip(
        jax.tree.leaves((loaded.variables, loaded.aux)),
        jax.tree.leaves((state.variables, state.aux)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert differences(loaded.config, config) == []


def test_an_interrupted_run_ends_bit_for_bit_as_a_whole_one(toy, tmp_path, monkeypatch):
    config = tiny("csol_toy")
    run, whole = train(config, tmp_path / "whole", toy)
    expected = history(run)
    stops = 0
    for _ in range(10):
        with monkeypatch.context() as patch:
            patch.setattr(loop, "signals", lambda: Given(after(7)))
            try:
                run, state = train(config, tmp_path / "pieces", toy)
                break
            except Interrupted:
                stops += 1
    assert stops >= 3
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    assert history(run) == expected
    batch = Batch.of(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 16000), np.int16))
    for stage in ("stage_one", "stage_two"):
        outputs = []
        for place in ("whole", "pieces"):
            loaded = load_run(tmp_path / place, stage)
            outputs.append(jax.jit(loaded.method.predict)(loaded.variables, loaded.aux, batch))
        for a, b in zip(*outputs, strict=True):
            np.testing.assert_array_equal(a, b)
