"""A run and a data set as avloc wrote them before its rooms moved (commit 642f269) still open.

`run_of_0.1.0.tar.gz`: a finished run of `csol_toy.py` at a tiny size on toy_orchestra/tiny, its
last stage alone, and what that version predicted for two random items.
"""

import json
import shutil
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest

import avloc
from avloc.cli import main
from avloc.data_pipelines.dataset import Dataset
from avloc.training.loading import load_run
from avloc.types import Batch
from tests.runs.old_scores import as_if_scored_today


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).parent / "run_of_0.1.0.tar.gz") as packed:
        packed.extractall(folder, filter="data")
    return folder


def test_it_predicts_what_it_did(old):
    run = load_run(old / "run")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    sounds = rng.integers(-9000, 9000, (2, 16000)).astype(np.int16)
    made = jax.jit(run.method.predict)(run.variables, run.aux, Batch.of(images, sounds))
    expected = np.load(old / "expected.npz")
    np.testing.assert_allclose(made.maps, expected["maps"], atol=1e-5)
    np.testing.assert_allclose(made.scores, expected["scores"], atol=1e-5)


def test_it_localizes_and_reports(old, tmp_path, capsys):
    run = shutil.copytree(old / "run", tmp_path / "run")
    model = avloc.load(run)
    found = model.localize(np.zeros((32, 32, 3), np.uint8), np.zeros(16000, np.int16), 16000)
    assert found.scores.shape == (10,)
    first, second = repr(model).splitlines()
    assert first == f"Model({str(run)!r}): csol trained on toy_orchestra/tiny/1.3.0"
    assert second.startswith("10 categories (") and "32 x 32 pixels" in second
    # Its scores were made under other rules, and its data is gone.
    capsys.readouterr()
    assert main(["report", "--workdir", str(run)]) == 2
    assert "rules of scoring that have changed since" in capsys.readouterr().err
    assert not (run / "report.html").exists()
    as_if_scored_today(run)
    assert main(["report", "--workdir", str(run)]) == 0
    assert "CSOL after stage two" in (run / "report.html").read_text()


def test_a_data_set_of_then_is_read(toy, tmp_path):
    there = Path(toy.builder.data_dir)
    root = tmp_path / "toy_orchestra" / "tiny"
    shutil.copytree(there, root / there.name)
    file = root / there.name / "dataset_info.json"
    about = json.loads(file.read_text())
    assert about["moduleName"].startswith("avloc.data_pipelines.")
    about["moduleName"] = about["moduleName"].removeprefix("avloc.")
    file.write_text(json.dumps(about))
    again = Dataset.open("toy_orchestra/tiny", tmp_path)
    assert again.info.fingerprint == toy.info.fingerprint
    assert again.source("test")[3]["id"] == toy.source("test")[3]["id"]
