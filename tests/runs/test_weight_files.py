"""A file of weights in, a folder to start from out; nothing of a file is run.

What torch itself writes is read in `test_torch_files.py`.
"""

import hashlib
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs import csol, ier
from avloc.models.weight_import import from_torch
from avloc.runs.checkpoints import read_stage, shapes
from avloc.runs.weight_files import import_weights, read_arrays, read_record
from avloc.training.methods import METHODS, create
from avloc.training.preflight import check
from avloc.training.resuming import Checkpoints
from avloc.training.warm_start import first_phase, warm_start
from avloc.types import Phase
from tests.command_line import contents
from tests.test_safetensors import file_of
from tests.torchvision_resnet import state_dict
from tests.training.line import Line, after
from tests.training.line import settings as line_settings
from tests.training.test_resume import PowerCut, cut, spoil
from tests.training.tiny_csol import INFO


@pytest.fixture(scope="module")
def state():
    return state_dict(width=4)


@pytest.fixture
def file(tmp_path, state) -> Path:
    path = tmp_path / "given" / "small.safetensors"
    path.parent.mkdir()
    path.write_bytes(file_of(state))
    return path


@pytest.fixture
def folder(file, tmp_path) -> Path:
    import_weights(file, tmp_path / "weights")
    return tmp_path / "weights"


def settings(folder, base=csol.base, **model):
    config = base()
    config.image_size, config.clusters = 32, 4
    config.model.update(dict(width=4, embedding=8) | model)
    config.init_from = str(folder)
    return config


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, a, b)))


def test_the_folder_and_what_is_said_of_it(file, tmp_path, state):
    out = tmp_path / "new" / "weights"
    said = import_weights(file, out)
    rows = dict(line.split(maxsplit=1) for line in said.splitlines()[:5])
    assert rows == {
        "network": "resnet18 of width 4",
        "taken": "100 arrays",
        "unused": "fc.bias, fc.weight, 20 counts of batches (num_batches_tracked)",
        "missing": "none",
        "written": str(out),
    }
    assert said.endswith(f"--config.init_from={out}")
    assert sorted(path.name for path in out.iterdir()) == ["weights", "weights.json"]
    assert [path.name for path in out.parent.iterdir()] == ["weights"]
    made = from_torch(state).variables
    tree = {"variables": {kind: {"visual": tree} for kind, tree in made.items()}}
    assert_equal(read_stage(out / "weights"), tree)
    record = read_record(out)
    assert record.source == "small.safetensors"
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (record.architecture, record.width) == ("resnet18", 4)
    assert record.blocks == (2, 2, 2, 2) and len(record.unused) == 22
    # The same file gives the same record, whenever and wherever it is imported.
    import_weights(file, tmp_path / "again")
    assert read_record(tmp_path / "again") == record


def test_a_folder_that_is_there_is_left_alone(file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    import_weights(file, out)  # empty
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"{out} already exists: name another folder, or remov"):
        import_weights(file, out)
    with pytest.raises(ValueError, match=f"{file} already exists"):
        import_weights(file, file)
    assert contents(tmp_path) == before


def test_it_is_whole_or_not_there(file, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avloc.runs.weight_files.write_atomically", full)
    said = r"weights cannot be written \(no space left on device\): fix that, or name another f"
    with pytest.raises(ValueError, match=said):
        import_weights(file, tmp_path / "weights")
    with pytest.raises(ValueError, match=said):
        import_weights(file, tmp_path / "new" / "folder" / "weights")
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_a_place_that_takes_no_weights_is_named_at_once(file, tmp_path, monkeypatch):
    """Before Orbax, which tries for minutes."""

    def never(*arguments, **more):
        raise AssertionError("Orbax was asked to write")

    monkeypatch.setattr("orbax.checkpoint.StandardCheckpointer", never)
    (tmp_path / "taken").write_text("")
    with pytest.raises(ValueError, match=r"taken/weights cannot be written \(not a directory\)"):
        import_weights(file, tmp_path / "taken" / "weights")
    small = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: small)
    with pytest.raises(ValueError, match=r"written \(the disk has 1 MB free, and \d+ MB are n"):
        import_weights(file, tmp_path / "weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "taken"]


def test_what_cannot_be_read(file, tmp_path, state):
    out = tmp_path / "weights"

    def sentence(name, content=None):
        path = file.with_name(name)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            import_weights(path, out)
        assert str(path) in str(error.value) and not out.exists()
        return str(error.value)

    assert "is not a .safetensors or .pth file" in sentence("weights.h5", b"")
    assert "there is no file" in sentence("absent.safetensors")
    assert "there is no file" in sentence("absent.pth")
    whole = file.read_bytes()
    assert "not a safetensors file, or is damaged" in sentence("cut.safetensors", whole[:-9])
    lacking = file_of({k: x for k, x in state.items() if k != "bn1.bias"})
    assert sentence("a.safetensors", lacking).endswith("lacks these arrays of a resnet18: bn1.bias")


class Hostile:
    def __reduce__(self):
        return os.system, ("echo > called",)


def test_a_pth_without_torch(tmp_path, monkeypatch):
    """Nothing reads it: not pickle, and no torch that does not do so safely."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "given.pth").write_bytes(pickle.dumps({"conv1.weight": Hostile()}))
    for torch, mend in (
        (None, "torch, which is not installed: pip install 'avloc[torch]', or use a .safeten"),
        (SimpleNamespace(__version__="2.9.1+cu128"), "pip install 'torch>=2.10', or use a .saf"),
    ):
        monkeypatch.setitem(sys.modules, "torch", torch)
        with pytest.raises(ValueError) as error:
            read_arrays(tmp_path / "given.pth")
        assert mend in str(error.value)
        assert [path.name for path in tmp_path.iterdir()] == ["given.pth"]


def test_half_precision(file, tmp_path, state):
    """bfloat16 has no NumPy type: read as float32."""
    halves = {k: x if x.ndim == 0 else jnp.asarray(x, jnp.bfloat16) for k, x in state.items()}
    file.write_bytes(file_of(halves))
    import_weights(file, tmp_path / "weights")
    tree = read_stage(tmp_path / "weights" / "weights")["variables"]
    rounded = {k: np.asarray(x, x.dtype if x.ndim == 0 else np.float32) for k, x in halves.items()}
    made = from_torch(rounded).variables
    assert_equal({kind: tree[kind]["visual"] for kind in tree}, made)
    assert not np.array_equal(made["params"]["conv_stem"]["kernel"], state["conv1.weight"])


@pytest.mark.parametrize("base", [csol.base, ier.base], ids=["csol", "ier"])
def test_only_sight_is_replaced(folder, state, base):
    config = settings(folder, base)
    method = create(config, INFO)
    variables, aux = shapes(method, config)
    blank = jax.tree.map(lambda x: np.full(x.shape, 3, x.dtype), (variables, aux))
    start = warm_start(config, *blank)
    assert first_phase(config, list(method.phases())) == 0
    made = from_torch(state).variables
    for kind, tree in start.variables.items():
        assert_equal(tree.pop("visual"), made[kind])
    rest = jax.tree.leaves((start.variables, start.aux))
    assert len(rest) > 100 and all((x == 3).all() for x in rest)
    assert "module audio" in start.fresh and "module visual" not in start.fresh
    assert start.said.startswith(f"starting with the visual backbone of {folder} (resnet18 of sma")


@pytest.mark.parametrize(
    ("model", "difference"),
    [
        (
            dict(width=8),
            "variables/batch_stats/visual/bn_stem/mean is float32[4] in {}, but float32[8] here, "
            "and 99 more arrays differ",
        ),
        (
            dict(blocks=(2, 2, 2, 1)),
            "variables/batch_stats/visual/stage4_block2/bn1/mean is float32[32] in {}, but absent "
            "here, and 9 more arrays differ",
        ),
    ],
)
def test_another_network(folder, model, difference):
    config = settings(folder, **model)
    with pytest.raises(ValueError) as error:
        warm_start(config, *shapes(create(config, INFO), config))
    assert str(error.value) == (
        f"config.init_from: {difference.format(folder)}: small.safetensors is a resnet18: set "
        "--config.model.width=4 and --config.model.blocks='(2, 2, 2, 2)'"
    )


def test_a_damaged_folder(folder):
    config = settings(folder)
    record = folder / "weights.json"
    text = record.read_text()
    for content in ("{", "[]", "{}", json.dumps(json.loads(text) | {"more": 1})):
        record.write_text(content)
        with pytest.raises(ValueError, match=f"{record} is damaged .*: import the weights again"):
            first_phase(config, [])
    record.write_text(text)
    spoil(folder / "weights")
    with pytest.raises(ValueError, match=f"checkpoint {folder}/weights is damaged"):
        warm_start(config, *shapes(create(config, INFO), config))


class Seeing(Line):
    """`Line` with a visual backbone that nothing trains."""

    seen = ()
    state = state_dict(width=4)

    def init(self, key, batch):
        variables, aux = super().init(key, batch)
        blank = jax.tree.map(jnp.zeros_like, from_torch(self.state).variables)
        return {kind: {**tree, "visual": blank[kind]} for kind, tree in variables.items()}, aux

    def loss(self, variables, aux, batch, key):
        loss, out = super().loss(variables, aux, batch, key)
        kept = {"visual": variables["batch_stats"]["visual"]}
        return loss, out._replace(batch_stats={**out.batch_stats, **kept})

    def predict(self, variables, aux, batch):
        return aux["target"]

    def look(self, state, scan, key):
        type(self).seen += (jax.tree.map(np.asarray, state.variables),)
        return state

    def phases(self):
        yield Phase("look", "train", 0, "localization", self.loss, self.look)
        yield Phase("only", "train", 1, "localization", self.loss, checkpoint_name="stage_one")


def test_a_run_starts_with_them_and_needs_the_folder_no_more(bench, folder, state, capsys):
    config = line_settings(init_from=str(folder), clusters=3)
    whole = bench.train("whole", Seeing, config=config)
    assert f"starting with the visual backbone of {folder} (resnet18" in capsys.readouterr().out
    [start] = Seeing.seen
    assert_equal(
        {kind: tree["visual"] for kind, tree in start.items()}, from_torch(state).variables
    )
    rows = bench.rows()
    with pytest.raises(PowerCut):
        bench.train("run", Seeing, after(0, cut), config)
    assert Checkpoints.present(bench.run)
    shutil.rmtree(folder)
    check(config, bench.dataset, bench.run)
    with pytest.raises(ValueError, match=r"config\.init_from: there is no .*weights: make it"):
        check(config, bench.dataset)
    resumed = bench.train("run", Seeing, config=config)
    assert_equal(resumed.variables, whole.variables)
    assert bench.rows() == rows


def test_they_are_no_stage_one(bench, folder, monkeypatch):
    """Stage two needs more than eyes."""
    config = line_settings(init_from=str(folder))
    config.stage_one.epochs = 0

    class Both(Seeing):
        def phases(self):
            yield from super().phases()
            yield Phase("then", "scenes", 1, "matching", self.loss)

    monkeypatch.setitem(METHODS, "line", Both)
    with pytest.raises(ValueError, match="stage two needs what a stage one learnt: set"):
        check(config, bench.dataset)
