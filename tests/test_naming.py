"""The nearest name to a misspelt one, wherever a name is asked for."""

import pytest

from avloc.data_pipelines import registry
from avloc.evaluation import protocols
from avloc.naming import did_you_mean
from avloc.runs.experiment import load_config, override


def test_the_nearest_name_or_nothing():
    known = ("train", "test", "Cocktail_test")
    assert did_you_mean("trian", known) == "; did you mean 'train'?"
    assert did_you_mean("cocktail_tets", known) == "; did you mean 'Cocktail_test'?"
    assert did_you_mean("TEST", known, " ({}?)") == " (test?)"
    assert did_you_mean("trian", known, " ({}?)", {"train": "avloc train"}) == " (avloc train?)"
    assert did_you_mean("xyzzy", known) == "" == did_you_mean("train", ())
    # Of six letters and twelve, six are the same: 2 x 6 / 18.
    assert did_you_mean("epochs", ["phase.epochs"], near=0.67) == ""
    assert did_you_mean("epochs", ["phase.epochs"], near=0.66) == "; did you mean 'phase.epochs'?"


def test_a_field_without_its_group():
    config = load_config("csol_toy")
    for name, field in (
        ("epochs", r"(hearing|stage_(one|two))\.epochs"),
        ("width", r"model\.width"),
    ):
        sentence = rf"no field config\.{name}; did you mean config\.{field}\?"
        with pytest.raises(ValueError, match=sentence):
            override(config, [(name, "1")])


def test_data_sets_splits_and_protocols(toy, tmp_path):
    for spec, near in (
        ("toy_orchstra", "'toy_orchestra'"),
        ("Music", "'music'"),
        ("toy_orchestra/tinny", "'tiny'"),
    ):
        with pytest.raises(ValueError, match=rf"; did you mean {near}\?$"):
            registry.open_dataset(spec, tmp_path)
        with pytest.raises(ValueError, match=rf"; did you mean {near}\?$"):
            registry.build(spec, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=r"no split 'cocktail_tset'; .*mean 'cocktail_test'\?$"):
        toy.source("cocktail_tset")
    with pytest.raises(ValueError, match=r"no protocol 'lvs-medain'; .*mean 'lvs-median'\?$"):
        protocols.get("lvs-medain")
