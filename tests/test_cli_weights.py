"""`avloc import-weights`, and a run that starts with what it made."""

import jax
import numpy as np
import pytest

from avloc.cli import main
from avloc.models.weight_import import from_torch
from avloc.runs.checkpoints import read_stage
from tests.command_line import CONFIG, contents, suggested, train
from tests.test_safetensors import file_of
from tests.torchvision_resnet import state_dict
from tests.training.line import Given, after


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "resnet18.safetensors"
    path.write_bytes(file_of(state_dict(width=4)))
    return path


def test_a_run_from_imported_weights(place, file, tmp_path, fails, capsys, monkeypatch):
    weights, run = tmp_path / "my weights", tmp_path / "run"
    monkeypatch.setenv("TFDS_DATA_DIR", str(place / "data"))
    monkeypatch.chdir(tmp_path)
    assert main(["import-weights", str(file), "--out", str(weights)]) == 0
    said = capsys.readouterr().out
    assert "unused       fc.bias, fc.weight, 20 counts of batches (num_batches_tracked)\n" in said
    (words,) = suggested(said)
    assert words[:3] == ["avloc", "train", "--config"] and "--config.model.width=4" in words
    start = words[-1]
    assert start == f"--config.init_from={weights}"
    before = contents(weights)
    # The network of the tests has one block a stage.
    sentence = fails(*train(run, place, start))
    assert f"in {weights}, but absent here" in sentence
    assert "resnet18.safetensors is a resnet18: set --config.model.width=4 and --conf" in sentence
    assert not run.exists()
    # A step or two, so small that they show what the run started with.
    small = (
        *(
            word
            for word in CONFIG
            if word.partition("=")[0] not in ("--config", "--config.model.width")
        ),
        "--config.stage_one.warmup_epochs=1",
        "--config.optimizers.localization.learning_rates.default=1e-7",
    )
    monkeypatch.setattr("avloc.training.loop.signals", lambda: Given(after(1)))
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        assert main([*words[1:], *small]) == 130
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    said = capsys.readouterr()
    words = f"starting with the visual backbone of {weights} (resnet18 of resnet18.safetensors, sha"
    assert words in said.out + said.err
    assert contents(weights) == before
    run = tmp_path / "runs" / "csol_toy"
    newest = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    state = read_stage(newest / "state")
    assert state["step"] > 0
    params = state["variables"]["params"]
    given = from_torch(state_dict(width=4)).variables["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), params["visual"], given)
    one, other = (params[side]["stage4_block2"]["conv2"] for side in ("visual", "audio"))
    assert not np.allclose(one["kernel"], other["kernel"], atol=0.01)


def test_bad_weights(file, tmp_path, fails):
    out = tmp_path / "weights"
    asked = ("import-weights", "--out", out)
    assert f"there is no file {tmp_path / 'absent.pth'}" in fails(*asked, tmp_path / "absent.pth")
    assert "the following arguments are required: FILE" in fails(*asked)
    assert "the following arguments are required: --out" in fails("import-weights", file)
    file.write_bytes(file.read_bytes()[:1000])
    assert "resnet18.safetensors is not a safetensors file, or is dam" in fails(*asked, file)
    file.write_bytes(file_of({"features.0.weight": np.zeros(3, np.float32)}))
    assert "no array is called layer1.0.conv1.weight" in fails(*asked, file)
    assert f"{file} already exists" in fails("import-weights", file, "--out", file)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_help_says_how(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["import-weights", "--help"])
    assert leaving.value.code == 0
    said = capsys.readouterr().out
    assert "--config.init_from" in said and "licences" in said and len(said.splitlines()) <= 24
