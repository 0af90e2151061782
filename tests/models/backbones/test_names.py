"""Backbones by name: what each is, whose modules can be one, and what a wrong one is told."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.configs.csol import base
from avloc.inputs import LogMel, Scaling
from avloc.models import AudioVisualNet
from avloc.models.backbones import AUDIO, VISUAL, audio_backbone, visual_backbone
from avloc.models.backbones.resnet import ResNet
from avloc.training.methods.networks import inputs, make_network
from avloc.training.preflight import check
from avloc.types import Batch, DatasetInfo


class Cells(nn.Module):
    """Means of 8 x 8 pixels, times a weight."""

    channels: int = 3
    scaling = Scaling(mean=(0.0, 0.0, 0.0), deviation=(0.5, 0.5, 0.5))

    @nn.compact
    def __call__(self, image, train):
        means = nn.avg_pool(image, (8, 8), strides=(8, 8))
        return means * self.param("weight", nn.initializers.ones, (3,))


class Bands(nn.Module):
    """The loudest moment of each mel bin."""

    channels: int = 8
    front_end = LogMel(n_fft=400, hop=160, n_mels=8)

    @nn.compact
    def stages(self, spectrogram, train):
        return [
            spectrogram,
            jnp.moveaxis(spectrogram, 2, 3) * self.param("w", nn.initializers.ones, ()),
        ]

    def summary(self, stage):
        return stage.max(axis=(1, 2))


class Slow(Bands):
    front_end = LogMel(sample_rate=22050)


class Long(Bands):
    front_end = LogMel(seconds=3.0, n_mels=8)


def cells(model, **common):
    return Cells()


def bands(model, **common):
    return Bands()


def slow(model, **common):
    return Slow()


def long(model, **common):
    return Long()


def config(**fields):
    made = base()
    made.model.update(fields)
    return made


def here(name):
    return f"{__name__}:{name}"


INFO = DatasetInfo({"train": 8})
BATCH = Batch.of(
    np.arange(2 * 16 * 16 * 3, dtype=np.uint8).reshape(2, 16, 16, 3),
    np.random.default_rng(0).integers(-9000, 9000, (2, 16000)).astype(np.int16),
)


@pytest.mark.parametrize(("name", "count"), [("resnet18", 11_176_512), ("resnet34", 21_284_672)])
def test_networks_with_a_name_have_torchvisions_number_of_weights(name, count):
    # Torchvision's count without the classifier's 513,000.
    for backbone in (VISUAL, AUDIO):
        net = backbone[name](config().model)
        shapes = jax.eval_shape(
            lambda net=net: net.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), False)
        )
        assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == count
        assert net.channels == 512


def test_resnet_is_of_the_size_that_the_config_says():
    model = config(width=4, blocks=(1, 2, 1, 1), stem_pool=False).model
    assert visual_backbone(model) == ResNet(width=4, blocks=(1, 2, 1, 1), stem_pool=False)
    assert audio_backbone(model) == ResNet(width=4, blocks=(1, 2, 1, 1))
    assert audio_backbone(model).channels == 32


def test_ones_own_backbones_get_their_own_input_and_their_own_channels():
    made = config(visual=here("cells"), audio=here("bands"), embedding=6)
    net = make_network(AudioVisualNet, made, INFO, None)
    image, sound = inputs(net, BATCH)
    np.testing.assert_allclose(image, BATCH.image / 127.5, rtol=1e-6)
    assert sound.shape == (2, 101, 8, 1)
    variables = net.init(jax.random.key(0), image, sound)
    assert set(variables["params"]) >= {"visual", "audio", "correspondence"}
    out = net.apply(variables, image, sound)
    by_hand = np.asarray(image).reshape(2, 2, 8, 2, 8, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(out.f, by_hand, rtol=1e-5)
    np.testing.assert_allclose(out.g, np.asarray(sound).max(axis=1)[..., 0], rtol=1e-5)
    assert out.v.shape == (2, 2, 2, 6) and out.a.shape == (2, 6)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"visual": "resnet19"}, r"config\.model\.visual is one of .*did you mean 'resnet18'"),
        ({"visual": "nowhere.at_all:net"}, "no module 'nowhere': install it, or run from"),
        ({"audio": here("band")}, "has no 'band'; did you mean 'bands'"),
        ({"audio": here("cells")}, "makes Cells, no Flax module with .*front_end.*docs/adding_a_b"),
        ({"audio": here("slow")}, "takes sound at 22050 Hz, but the data set has it at 16000 Hz"),
        ({"frozen": ("visual", "heads")}, r"config\.model\.frozen names 'visual', 'audio' or both"),
    ],
)
def test_wrong_backbones_get_a_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_network(AudioVisualNet, config(**fields), INFO, None)


def test_sounds_of_another_length_get_a_sentence():
    net = make_network(AudioVisualNet, config(audio=here("long")), INFO, None)
    with pytest.raises(ValueError, match=r"takes 3\.0 s of sound, but the data set has clips of 1"):
        inputs(net, BATCH)


def test_spectrograms_of_another_kind_get_a_sentence():
    net = make_network(AudioVisualNet, config(audio=here("bands")), INFO, None)
    stored = BATCH._replace(log_mel=np.zeros((2, 201, 64), np.float32))
    with pytest.raises(ValueError, match=r"has spectrograms of 64 mel bins, but .* takes 8"):
        inputs(net, stored)


def test_nothing_random_is_frozen(toy):
    made = config(frozen=("visual",), width=4, blocks=(0, 0, 0, 1))
    made.data.name, made.batch_size, made.clusters = "toy_orchestra/tiny", 8, 10
    with pytest.raises(
        ValueError, match=r"config\.model\.frozen names visual, whose weights would"
    ):
        check(made, toy)
