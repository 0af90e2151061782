"""`config.model.frozen`: what is frozen stays to the last bit, and all else still learns."""

import jax
import numpy as np
import pytest

from avloc.training.methods import create
from avloc.training.optimizers import make_optimizers
from avloc.training.step import make_step
from tests.training.parallel_steps import INFO, batches, initial, settings

pytestmark = pytest.mark.usefixtures("in_haste")

# The modules that each phase's loss reaches.
BOTH = {"visual", "audio", "correspondence"}
REACHED = {
    "csol": {
        "warm-up": BOTH,
        "mixed localization": BOTH,
        "mixed classification": {"visual", "audio", "visual_classifier", "audio_classifier"},
        "matching": BOTH,
    },
    "ier": {
        "identification": {"audio", "identifier", "presence_scale"},
        "referral": BOTH | {"identifier", "presence_scale"},
    },
}


def changed(before, after) -> set[str]:
    """Names of modules of which something is no longer what it was."""
    return {
        name
        for name in before
        if any(
            not np.array_equal(x, y)
            for x, y in zip(*map(jax.tree.leaves, (before[name], after[name])), strict=True)
        )
    }


@pytest.mark.parametrize("frozen", [("visual",), ("audio",)], ids="+".join)
@pytest.mark.parametrize("name", ["csol", "ier"])
def test_a_frozen_backbone_does_not_move_in_any_phase(name, frozen):
    config = settings("in_batch", name)
    config.model.frozen = frozen
    method = create(config, INFO)
    optimizers = make_optimizers(config)
    start = initial(name)
    start = start._replace(
        optimizers={kind: made.init(start.variables["params"]) for kind, made in optimizers.items()}
    )
    batch = batches(False)[0]
    phases = {phase.name: phase for phase in method.phases() if phase.epochs}
    for words, reached in REACHED[name].items():
        phase = phases[words]
        step = jax.jit(make_step(phase, optimizers[phase.optimizer], None))
        state, log = step(phase.prepared(start), batch, jax.random.key(1))
        assert np.isfinite(log["loss"])
        for collection in ("params", "batch_stats"):
            moved = changed(start.variables[collection], state.variables[collection])
            assert not moved & set(frozen), (words, collection)
        moved = changed(start.variables["params"], state.variables["params"])
        assert moved >= reached - set(frozen), words
