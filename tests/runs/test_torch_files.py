"""Against torch, torchvision and timm themselves, where they are installed.

What holds without them is in `test_weight_files.py` and `tests/models/test_weight_import.py`.
"""

import os
from collections import OrderedDict

import jax
import numpy as np
import pytest

from avloc.models.backbones.resnet import ResNet
from avloc.runs.checkpoints import read_stage
from avloc.runs.weight_files import import_weights, read_arrays, read_record
from tests.torchvision_resnet import forward, state_dict

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
timm = pytest.importorskip("timm")
safetensors_torch = pytest.importorskip("safetensors.torch")

MAKERS = {
    "torchvision": torchvision.models.resnet18,
    "timm": lambda: timm.create_model("resnet18"),
}


def randomized(model):
    """With the random weights it was made with, and statistics that are not at their start."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for name, x in [*model.named_parameters(), *model.named_buffers()]:
            if name.endswith("running_var") or (x.ndim == 1 and name.endswith("weight")):
                x.uniform_(0.5, 1.5)
            elif name.endswith("running_mean") or (x.ndim == 1 and name.endswith("bias")):
                x.normal_(0, 0.2)
    return model.eval()


@pytest.fixture(scope="module", params=MAKERS)
def model(request):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return randomized(MAKERS[request.param]())


def features(model, images):
    """Of torch's model, before its pooling."""
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        for name, layer in model.named_children():
            if name in ("avgpool", "global_pool"):
                return x.numpy().transpose(0, 2, 3, 1)
            x = layer(x)


def save(model, path):
    if path.suffix == ".safetensors":
        safetensors_torch.save_model(model, path)
    else:
        torch.save(model.state_dict(), path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_outputs_are_equal(model, tmp_path, suffix):
    file = tmp_path / f"resnet18{suffix}"
    save(model, file)
    import_weights(file, tmp_path / "weights")
    tree = read_stage(tmp_path / "weights" / "weights")["variables"]
    ours = {kind: tree[kind]["visual"] for kind in tree}
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype(np.float32)
    for stride, side in ((2, 7), (1, 14)):
        # The papers' network: the last stage keeps the resolution.
        model.layer4[0].conv1.stride = model.layer4[0].downsample[0].stride = (stride, stride)
        expected = features(model, images)
        net = ResNet(strides=(1, 2, 2, stride))
        got = jax.jit(lambda v, x, net=net: net.apply(v, x, False))(ours, images)
        assert got.shape == expected.shape == (2, side, side, 512)
        assert 0.1 < expected.std() < 10
        print(
            suffix, stride, "largest difference", np.abs(got - expected).max(), "of", expected.max()
        )
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_reference_of_the_other_tests_is_torchvision():
    model = torchvision.models.resnet18(num_classes=5)
    state = state_dict()
    assert list(model.state_dict()) == list(state)
    model.load_state_dict({name: torch.from_numpy(np.asarray(x)) for name, x in state.items()})
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    expected = features(model.eval(), images).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(
        forward(state, images.transpose(0, 3, 1, 2), 2), expected, rtol=1e-4, atol=1e-4
    )


def test_timm_names_and_shapes_are_torchvisions():
    for name in ("resnet18", "resnet34"):
        a, b = getattr(torchvision.models, name)(), timm.create_model(name)
        shapes = [{k: x.shape for k, x in m.state_dict().items()} for m in (a, b)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("wrap", ["state_dict", "model", "module.", "parameters", "old", "half"])
def test_the_ways_a_checkpoint_is_saved(tmp_path, wrap):
    state = state_dict_of(4)
    file, kept = tmp_path / "small.pth", state
    if wrap in ("state_dict", "model"):
        kept = {"epoch": 3, "arch": "resnet18", wrap: OrderedDict(state), "optimizer": {"lr": 0.1}}
    elif wrap == "module.":
        kept = {"module." + name: x for name, x in state.items()}
    elif wrap == "parameters":
        kept = {k: torch.nn.Parameter(x) if x.is_floating_point() else x for k, x in state.items()}
    elif wrap == "half":
        state = {k: x.bfloat16() if x.is_floating_point() else x for k, x in state.items()}
        kept = state
    torch.save(kept, file, _use_new_zipfile_serialization=wrap != "old")
    read = {name.removeprefix("module."): x for name, x in read_arrays(file).items()}
    assert list(read) == list(state)
    for name, x in read.items():
        assert x.dtype == (np.float32 if state[name].is_floating_point() else np.int64)
        np.testing.assert_array_equal(x, state[name].to(torch.from_numpy(x).dtype).numpy())
    said = import_weights(file, tmp_path / "weights")
    assert ("by the prefix module." in said) == (wrap == "module.")
    assert read_record(tmp_path / "weights").width == 4


class Hostile:
    def __reduce__(self):
        return os.system, ("echo > called",)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_hostile_file_is_refused_and_calls_nothing(tmp_path, monkeypatch, new):
    monkeypatch.chdir(tmp_path)
    state = state_dict_of(4)
    file, called = tmp_path / "hostile.pth", tmp_path / "called"
    torch.save({**state, "more": Hostile()}, file, _use_new_zipfile_serialization=new)
    # A variable that makes torch careless where nobody says how to load.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(ValueError, match=r"more than arrays, and was not read \(it holds \w+.sys"):
        import_weights(file, tmp_path / "weights")
    assert [path.name for path in tmp_path.iterdir()] == ["hostile.pth"]
    torch.load(file, weights_only=False)
    assert called.is_file()  # it would have


def test_damaged_files(tmp_path):
    file = tmp_path / "given.pth"

    def sentence(content=None):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ValueError) as error:
            import_weights(file, tmp_path / "weights")
        assert str(file) in str(error.value) and "weights_only" not in str(error.value)
        return str(error.value)

    torch.save(state_dict_of(4), file)
    whole = file.read_bytes()
    for content in (b"", b"<html>not found</html>", whole[:-1000], whole[:100], b"\x80\x02."):
        assert "is damaged, or contains more than arrays, and was not read (" in sentence(content)
    torch.save(torchvision.models.resnet18(), file)
    assert "it holds torchvision.models.resnet.ResNet" in sentence()
    torch.save([1, 2], file)
    assert "no array is called layer1.0.conv1.weight" in sentence()
    # A few bytes that claim to be many.
    torch.save({"layer1.0.conv1.weight": torch.zeros(1).expand(2**15, 2**15, 3, 3)}, file)
    assert "an array larger than the file" in sentence()
    torch.save(state_dict_of(4) | {"bn1.bias": torch.zeros(4).to_sparse()}, file)
    assert "was not read (" in sentence()


def state_dict_of(width):
    return {k: torch.from_numpy(np.asarray(x)) for k, x in state_dict(width=width).items()}


def test_networks_that_are_not_ours(tmp_path):
    for maker, sentence in (
        (lambda: torchvision.models.resnet50(), "three convolutions, as ResNet-50 and deeper"),
        (
            lambda: timm.create_model("resnet18d"),
            "lacks these arrays of a resnet18: conv1.weight, l",
        ),
        (lambda: timm.create_model("seresnet18"), "a plain resnet18 has not: layer1.0.se.fc1.w"),
        (lambda: torchvision.models.vgg11(init_weights=False), "no array is called layer1.0.conv1"),
    ):
        with torch.device("meta"):
            made = maker()
        file = tmp_path / "other.pth"
        torch.save({k: torch.zeros(x.shape) for k, x in made.state_dict().items()}, file)
        with pytest.raises(ValueError, match=sentence):
            import_weights(file, tmp_path / "weights")
