"""Runs that began before a field was there stay usable."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from avloc.configs import csol, ier
from avloc.runs.experiment import (
    LATER,
    LATER_OF,
    differences,
    fields,
    override,
    with_later_fields,
)
from avloc.runs.folder import RunFolder
from avloc.training.loading import load_run
from avloc.training.resuming import origin, refuse_another
from avloc.types import DatasetInfo


def without_later_fields(config: dict) -> dict:
    """As a run wrote it before there were these fields."""
    config = {name: x for name, x in config.items() if name not in LATER}
    for where, later in LATER_OF.items():
        group = where.split(".")[0]
        if group in config:
            config[group] = {name: x for name, x in config[group].items() if name not in later}
    return config


@pytest.mark.parametrize("base", [csol.base, ier.base], ids=["csol", "ier"])
def test_old_runs_did_what_the_default_does(base):
    today = base().to_dict()
    old = ConfigDict(without_later_fields(today))
    assert len(dict(fields(old))) < len(dict(fields(today))) - len(LATER)
    assert with_later_fields(old).to_dict() == today


def test_groups_that_came_later_are_groups_of_fields_of_their_own():
    a, b = with_later_fields(ConfigDict()), with_later_fields(ConfigDict())
    assert isinstance(a.hearing, ConfigDict) and isinstance(a.sound_views, ConfigDict)
    a.hearing.steps, a.sound_views.offset = 900, True
    assert (b.hearing.steps, LATER["hearing"]["steps"]) == (0, 0)
    assert override(b, [("sound_views.offset", "True")]).sound_views.offset is True
    assert LATER["sound_views"]["offset"] is False
    old = with_later_fields(ConfigDict({"optimizers": {"localization": {}}})).optimizers
    assert old.hearing.learning_rates.default == 1e-4


def test_a_field_that_is_there_is_kept():
    config = ConfigDict({"accumulate": 4, "hearing": {"steps": 7}, "model": {"frozen": ("audio",)}})
    made = with_later_fields(config)
    assert (made.accumulate, made.hearing.steps, made.model.frozen) == (4, 7, ("audio",))
    assert made.model.visual == "resnet"


@pytest.fixture
def old(copy):
    """A finished run whose config lacks what came later."""
    file = copy / "config.json"
    file.write_text(json.dumps(without_later_fields(json.loads(file.read_text()))))
    return copy


def test_an_old_run_loads_and_predicts(place, old):
    now, then = load_run(place / "run"), load_run(old)
    assert differences(then.config, now.config) == []
    assert then.config.is_locked
    for a, b in zip(
        jax.tree.leaves((now.variables, now.aux)),
        jax.tree.leaves((then.variables, then.aux)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert now.method.net == then.method.net


def test_an_old_run_goes_on_with_the_same_config_only(place, old):
    config = RunFolder(place / "run").config()
    run = RunFolder(old)
    assert run.open_for_training(config)
    run.release()
    changed = override(config, [("precision", "bfloat16")])
    with pytest.raises(ValueError, match=r"config.precision: 'float32' there, 'bfloat16' here"):
        run.open_for_training(changed)


def test_a_config_of_your_own_need_not_have_what_came_later(tmp_path):
    """What its run wrote is read with all fields, and is the same config all the same."""
    config = ConfigDict({"method": "mine:Own", "model": {"width": 3}})
    for again in (False, True):
        run = RunFolder(tmp_path)
        assert run.open_for_training(config) is again
        run.release()
    here = origin(config, DatasetInfo({}))
    assert here["config"]["stored_views"] == 0
    refuse_another(run, here)
