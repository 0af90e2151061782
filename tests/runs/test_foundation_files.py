"""Files of weights that equimo wrote, imported and trained from."""

import hashlib
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs import csol
from avloc.models.backbones.foundation import arrays_of, skeleton, with_arrays
from avloc.runs.checkpoints import shapes
from avloc.runs.weight_files import import_weights, read_record
from avloc.training.methods import create
from avloc.training.warm_start import warm_start
from tests.command_line import contents
from tests.models.backbones.test_foundation import weights_of
from tests.training.tiny_csol import INFO

try:
    from equimo.serialization import save_model
except ImportError:  # before version 2
    from equimo.io import save_model

NAME = "dinov2_vits14"


def save(weights, path, variant=NAME, packed=True):
    save_model(path, with_arrays(skeleton(variant), weights), {}, compression=packed)
    return path


@pytest.fixture(scope="module")
def weights():
    return weights_of(NAME)


@pytest.fixture(scope="module")
def file(weights, tmp_path_factory):
    return save(weights, tmp_path_factory.mktemp("given") / f"{NAME}.tar.lz4")


@pytest.fixture(scope="module")
def folder(file, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "weights"
    import_weights(file, out)
    return out


def settings(folder, **model):
    config = csol.base()
    config.image_size, config.clusters = 28, 4
    config.model.update(dict(width=4, embedding=8, visual=NAME, frozen=("visual",)) | model)
    config.init_from = str(folder)
    return config


def test_what_is_said_and_recorded(file, tmp_path):
    before = contents(file.parent)
    said = import_weights(file, tmp_path / "weights")
    assert contents(file.parent) == before  # unpacked elsewhere
    rows = dict(line.split(maxsplit=1) for line in said.splitlines()[:4])
    assert rows == {
        "network": "dinov2_vits14 of width 384",
        "taken": "175 arrays",
        "unused": "none",
        "missing": "none",
    }
    record = read_record(tmp_path / "weights")
    assert record.source == file.name and record.blocks == ()
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert record.settings == {"visual": NAME, "frozen": ("visual",)}


def test_a_run_starts_with_them_and_nothing_else(folder, weights):
    config = settings(folder)
    method = create(config, INFO)
    variables, aux = shapes(method, config)
    start = warm_start(
        config, *jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (variables, aux))
    )
    given = start.variables["params"].pop("visual")["weights"]
    assert given.keys() == weights.keys()
    assert all(np.array_equal(given[place], x) for place, x in weights.items())
    assert "visual" not in start.variables["batch_stats"]
    assert "module audio" in start.fresh and "module visual" not in start.fresh
    assert f"visual backbone of {folder} (dinov2_vits14 of dinov2_vits14.tar.lz4, sha" in start.said


def test_another_network_is_told_what_to_set(folder):
    config = settings(folder, visual="resnet")
    variables, aux = shapes(create(config, INFO), config)
    with pytest.raises(ValueError) as error:
        warm_start(config, variables, aux)
    assert str(error.value).endswith(
        "dinov2_vits14.tar.lz4 is a dinov2_vits14: set --config.model.visual=dinov2_vits14 and "
        """--config.model.frozen="('visual',)\""""
    )


def test_half_precision_and_folders_that_are_not_packed(weights, folder, tmp_path):
    halves = {place: x.astype(jnp.bfloat16) for place, x in weights.items()}
    for packed, ending in ((True, ".tar.lz4"), (False, "")):
        given = save(halves, tmp_path / f"{NAME}{ending}", packed=packed)
        import_weights(given, tmp_path / f"out{ending}")
        config = settings(tmp_path / f"out{ending}")
        variables, aux = shapes(create(config, INFO), config)
        start = warm_start(config, variables, aux)
        for place, x in start.variables["params"]["visual"]["weights"].items():
            assert x.dtype == np.float32
            np.testing.assert_array_equal(x, np.asarray(halves[place], np.float32))


def test_what_cannot_be_read(file, weights, tmp_path):
    def sentence(path):
        with pytest.raises(ValueError) as error:
            import_weights(path, tmp_path / "out")
        assert str(path) in str(error.value) and not (tmp_path / "out").exists()
        return str(error.value)

    other = tmp_path / "dinov2_vits15.tar.lz4"
    shutil.copy(file, other)
    said = sentence(other)
    assert "is not named after a network of equimo that avloc takes: rename it to one of" in said
    assert said.endswith("; did you mean 'dinov2_vits14'?")
    wrong = tmp_path / "dinov2_vitb14.tar.lz4"
    shutil.copy(file, wrong)
    assert "is damaged, or not of dinov2_vitb14, and was not read (" in sentence(wrong)
    cut = tmp_path / file.name
    for size in (0, 1000, file.stat().st_size - 1000):
        cut.write_bytes(file.read_bytes()[:size])
        assert "is damaged, or not of dinov2_vits14, and was not read (" in sentence(cut)
    bad = save(weights | {"norm.bias": jnp.full(384, jnp.nan)}, tmp_path / "nan" / file.name)
    assert "norm.bias holds NaN or infinity" in sentence(bad)
    (tmp_path / NAME).mkdir()
    assert "is not a .safetensors or .pth file, nor one of equimo's" in sentence(tmp_path / NAME)


def test_without_equimo(file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "equimo", None)
    with pytest.raises(ValueError, match=r"needs equimo, which is not installed: pip install 'avl"):
        import_weights(file, tmp_path / "out")


def test_no_array_is_lost(weights):
    assert arrays_of(with_arrays(skeleton(NAME), weights)).keys() == weights.keys()
