"""Runs that began before a field was there stay usable."""

import json

import jax
import numpy as np
import pytest

from avloc.configs.csol import base
from avloc.runs.experiment import LATER, LATER_OF_MODEL, override
from avloc.runs.folder import RunFolder
from avloc.training.loading import load_run


def test_old_runs_did_what_the_default_does():
    config = base()
    assert {name: config[name] for name in LATER} == LATER
    assert {name: config.model[name] for name in LATER_OF_MODEL} == LATER_OF_MODEL


@pytest.fixture
def old(copy):
    """A finished run whose config lacks what came later."""
    file = copy / "config.json"
    fields = json.loads(file.read_text())
    fields = {name: x for name, x in fields.items() if name not in LATER}
    for name in LATER_OF_MODEL:
        del fields["model"][name]
    file.write_text(json.dumps(fields))
    return copy


def test_an_old_run_loads_and_predicts(place, old):
    now, then = load_run(place / "run"), load_run(old)
    assert {name: then.config[name] for name in LATER} == LATER
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
