"""An exported model by itself: what those have of it who have neither the run nor avloc."""

import hashlib
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from avloc.configs import csol, ier
from avloc.inference import export as exporting
from avloc.inference.export import export_model, named
from avloc.inference.model import load
from avloc.runs import experiment
from avloc.runs.checkpoints import read_stage, record_info, save_stage, shapes
from avloc.runs.folder import RunFolder, write_atomically
from avloc.safetensors import Safetensors
from avloc.training.methods import create
from avloc.types import DatasetInfo, TrainState

ROOT = Path(__file__).parents[2]
NAMES = ("drum", "flute")
INFO = DatasetInfo(
    {"train": 6, "cocktail_train": 4, "wild_train": 4}, NAMES, fingerprint="sha256:0123"
)
TINY = (
    ("data.name", "toy_orchestra/tiny"),
    ("image_size", "32"),
    ("clusters", "3"),
    ("model.width", "4"),
    ("model.blocks", "(0, 0, 0, 1)"),
    ("model.stem_pool", "False"),
)
METHODS = {
    "CSOL": (csol.base, ()),
    "DSOL in bfloat16": (csol.base, (("representation", "mask"), ("precision", "bfloat16"))),
    "IEr": (ier.base, (("identification.sources", "(2, 3)"),)),
}


def untrained_run(folder: Path, method: str = "CSOL", *, fitted: bool = True) -> RunFolder:
    """A run whose stages hold random weights and prototypes."""
    base, fields = METHODS[method]
    config = experiment.override(base(), [*TINY, *fields])
    run = RunFolder(folder)
    run.open_for_training(config)
    run.release()
    record_info(run, INFO)
    made = create(config, INFO)
    variables, aux = jax.tree_util.tree_map_with_path(random_array, shapes(made, config))
    stages = [phase.checkpoint_name for phase in made.phases() if phase.checkpoint_name]
    for n, stage in enumerate(stages):
        shifted = {**aux, "dictionary": aux["dictionary"] + n}
        save_stage(run, stage, TrainState(variables, {}, shifted, jnp.zeros((), jnp.int32)))
    if fitted:
        text = json.dumps({"of_cluster": [1, 0, 1], "names": NAMES})
        write_atomically(run.categories, text)
    return run


def random_array(path, like) -> np.ndarray:
    name = jax.tree_util.keystr(path)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    drawn = rng.normal(0, 0.3, like.shape)
    return np.asarray(abs(drawn) + 0.1 if "'var'" in name else drawn).astype(like.dtype)


def items(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise and sounds, of which the last is silent."""
    rng = np.random.default_rng(count)
    image = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    waveform = rng.integers(-9000, 9000, (count, 16000)).astype(np.int16)
    waveform[count - 1 :] //= 1 if count == 1 else 1000
    return image, waveform


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    return untrained_run(tmp_path_factory.mktemp("run") / "demo")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory) -> Path:
    return export_model(run.path, tmp_path_factory.mktemp("out") / "new" / "exported")


ALONE = """
import runpy, sys
for name in ("avloc", "data_pipelines", "configs", "flax", "optax", "orbax", "librosa"):
    sys.modules[name] = None  # whoever imports it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_it_gives_the_same_maps_where_avloc_is_not(run, folder, tmp_path):
    for count in (1, 3):
        image, waveform = items(count)
        given, made = tmp_path / f"in{count}.npz", tmp_path / f"out{count}.npz"
        np.savez(given, image=image, waveform=waveform)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [sys.executable, "-I", "-c", ALONE, str(folder / "load_example.py")]
        done = subprocess.run(
            [*command, str(given), str(made)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        maps, scores = load(run.path).predict(image, waveform)
        with np.load(made) as found:
            np.testing.assert_allclose(found["maps"], maps, atol=1e-5)
            np.testing.assert_allclose(found["scores"], scores, atol=1e-5)
        assert maps.shape == (count, 16, 16, 2) and maps[0].std() > 1e-3
        said = [line.split() for line in done.stdout.splitlines()]
        assert [name for _, name in said] == list(NAMES)
        np.testing.assert_allclose([float(x) for x, _ in said], scores[0], atol=6e-4)
    assert not maps[2].any() and not scores[2].any()


@pytest.mark.parametrize("method", ["DSOL in bfloat16", "IEr"])
def test_every_method(method, tmp_path):
    made = untrained_run(tmp_path / "run", method, fitted=False)
    folder = export_model(made.path, tmp_path / "exported")
    function = jax.export.deserialize((folder / "localize.jax_export").read_bytes())
    assert function.platforms == ("cpu", "cuda", "tpu")
    assert str(function.in_avals[0].shape[0]) == "batch" and function.nr_devices == 1
    image, waveform = items(3)
    found = jax.jit(function.call)(image, waveform)
    # In bfloat16 a few roundings of 2^-9 each add up, and programs round in different places.
    atol = 2e-2 if "bfloat16" in method else 1e-5
    for ours, theirs in zip(found, load(made.path).predict(image, waveform), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=atol)
    about = json.loads((folder / "model.json").read_text())
    assert about["classes"] == ["object 1", "object 2", "object 3"] and not about["named"]
    precision = f"Convolutions compute in {about['config']['precision']};"
    assert precision in (folder / "README.md").read_text()


def test_no_platform_needs_what_is_not_stablehlo(folder):
    content = (folder / "localize.jax_export").read_bytes()
    assert b".py" not in content and str(ROOT).encode() not in content
    function = jax.export.deserialize(content)
    calls = set(re.findall(r"custom_call @(\w+)", function.mlir_module()))
    assert calls <= {"shape_assertion"}  # JAX's own check of the batch's size


def test_a_stage_by_its_folder(run, folder, tmp_path):
    one = export_model(run.stages / "stage_one", tmp_path / "one")
    about, last = (json.loads((f / "model.json").read_text()) for f in (one, folder))
    assert (about["stage"], last["stage"]) == ("stage_one", "stage_two")
    assert about["digest"] == load(run.path, "stage_one").digest() != last["digest"]
    assert 'the row "CSOL after stage one alone"' in (one / "README.md").read_text()


def test_both_forms_of_the_parameters_are_those_of_the_stage(run, folder):
    stage = read_stage(run.stages / "stage_two")
    wanted = {**stage["variables"], "aux": stage["aux"]}
    tree = ocp.StandardCheckpointer().restore(folder / "orbax")
    assert jax.tree.structure(tree) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, tree, wanted)
    arrays = Safetensors(folder / "parameters.safetensors")
    assert arrays.metadata["format"] == "avloc export"
    assert set(arrays) == set(named(wanted)) >= {"params/visual/conv_stem/kernel", "aux/dictionary"}
    for name, value in named(wanted).items():
        assert arrays[name].dtype == value.dtype
        np.testing.assert_array_equal(arrays[name], value)


def test_the_card_says_what_the_folder_holds(run, folder):
    about = json.loads((folder / "model.json").read_text())
    assert about["config"] == run.config().to_dict() | {"model": about["config"]["model"]}
    assert about["data"]["fingerprint"] == "sha256:0123" and about["metrics"] is None
    assert about["inputs"]["image"]["shape"] == ["B", 32, 32, 3]
    assert about["outputs"]["maps"] | {"layout": 0} == {
        "dtype": "float32",
        "shape": ["B", 16, 16, 2],
        "range": [0, 1],
        "layout": 0,
    }
    for name, file in about["files"].items():
        path = folder / name
        if path.is_file():
            content = path.read_bytes()
            assert file["bytes"] == len(content)
            assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert {path.name for path in folder.iterdir()} == {*about["files"], "README.md", "model.json"}
    text = (folder / "README.md").read_text()
    for words in (
        "# CSOL on toy_orchestra/tiny",
        "1. drum\n2. flute",
        "`uint8[B, 32, 32, 3]`",
        "`sha256:0123`",
        "Not recorded: the run was not scored.",
        '"stage_two": {',
    ):
        assert words in text, words


def test_pages_python_runs(folder, monkeypatch):
    card = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    page = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL)
    assert len(card) == len(page) == 2
    image, waveform = items(2)
    given = {"image": image, "waveform": waveform}
    for place, blocks in ((folder, card), (folder.parent, page)):
        monkeypatch.chdir(place)
        for block in blocks:
            exec(block, given)
        assert given["maps"].shape == (2, 16, 16, 2)
    assert given["kernel"].shape == (7, 7, 3, 4)


def test_an_earlier_export_is_replaced_and_nothing_else(run, folder, tmp_path, fails, monkeypatch):
    out = tmp_path / "exported"
    asked = ("export", "--checkpoint", run.path, "--out", out)
    out.mkdir()
    export_model(run.stages / "stage_one", out)
    export_model(run.path, out)
    for name in ("localize.jax_export", "parameters.safetensors", "load_example.py"):
        assert (out / name).read_bytes() == (folder / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]

    # A failure leaves the earlier one as it was.
    def full(*_):
        raise OSError(28, "No space left on device", str(out))

    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(exporting, "save", full)
        assert "no space left on device" in fails(*asked)
    assert [path.name for path in tmp_path.iterdir()] == ["exported"]

    (out / "notes.txt").write_text("mine")
    assert "contains something other than an earlier export (notes.txt)" in fails(*asked)
    (out / "notes.txt").unlink()
    about = (out / "model.json").read_text()
    (out / "model.json").write_text("{}")
    assert "contains something other than an earlier export (model.json)" in fails(*asked)
    (out / "model.json").write_text(about)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != "model.json"}.items() <= (
        before.items()
    )
    (tmp_path / "file").touch()
    assert "is a file: name a folder with --out" in fails(*asked[:3], "--out", tmp_path / "file")


def test_what_cannot_be_exported(run, tmp_path, fails):
    def refused(checkpoint):
        return fails("export", "--checkpoint", checkpoint, "--out", tmp_path / "out")

    assert "holds no run (no config.json)" in refused(tmp_path / "nowhere")
    stages = run.stages
    assert "has no stage 'stage_three'; finished: stage_one, stage_two" in refused(
        stages / "stage_three"
    )
    bad = RunFolder(tmp_path / "bad")
    bad.open_for_training(run.config())
    bad.release()
    record_info(bad, INFO)
    assert "has no finished stage yet" in refused(bad.path)
    tree = read_stage(stages / "stage_one")
    kernel = np.array(tree["variables"]["params"]["visual"]["conv_stem"]["kernel"])
    kernel[0, 0, 0, 0] = np.nan
    tree["variables"]["params"]["visual"]["conv_stem"]["kernel"] = kernel
    save_stage(bad, "stage_one", TrainState(tree["variables"], {}, tree["aux"], np.int32(0)))
    sentence = refused(bad.path)
    assert "params/visual/conv_stem/kernel in" in sentence and "holds NaN or infinity" in sentence
    assert not (tmp_path / "out").exists()


def test_an_export_loads_as_the_run_does(run, folder):
    model, ours = load(folder), load(run.path)
    assert model.names == NAMES and model.image_size == 32
    assert (model.digest(), model.threshold) == (ours.digest(), ours.threshold)
    assert model.checkpoint == str(folder)
    for count in (1, 3):
        image, waveform = items(count)
        found, expected = (m.localize(image, waveform, 16000) for m in (model, ours))
        np.testing.assert_allclose(found.maps, expected.maps, atol=1e-5)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        assert found.categories == NAMES
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(
        again.localize(image, waveform, 16000).maps, model.localize(image, waveform, 16000).maps
    )
    assert load(folder, threshold=0.123).threshold == 0.123


def test_an_export_that_cannot_be_loaded_is_named(folder, tmp_path):
    with pytest.raises(ValueError, match="is an export, of one stage: leave the stage out"):
        load(folder, "stage_one")
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    function = torn / "localize.jax_export"
    packed = function.read_bytes()
    for bad in (b"", b"no function", packed[:1000], packed[: len(packed) // 2]):
        function.write_bytes(bad)
        with pytest.raises(ValueError, match=r"localize\.jax_export is damaged, or too new"):
            load(torn)
    function.unlink()
    with pytest.raises(ValueError, match=r"localize\.jax_export: no such file; export the model"):
        load(torn)
