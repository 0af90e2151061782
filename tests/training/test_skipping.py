"""`config.on_nonfinite = "skip"`: a step without a finite loss changes nothing, and is counted."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from avloc.machine.stopping import Interrupted
from avloc.runs.history import skipped_steps
from avloc.training.epoch import NonFiniteLoss
from avloc.training.step import make_step
from avloc.types import LossOutput, Phase, TrainState
from tests.training.line import Line, after, settings


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def root(variables, aux, batch, key):
    """`sqrt(w . x)`: not a number below 0, of infinite slope at 0."""
    stats = {"mean": batch.mean()}
    return jnp.sqrt(variables["params"]["w"] @ batch), LossOutput(stats, {})


@pytest.mark.parametrize(
    ("batch", "good"), [([4.0, 0.0], True), ([-4.0, 0.0], False), ([0.0, 0.0], False)]
)
def test_a_step_that_is_skipped_changes_nothing_but_the_count(batch, good):
    optimizer = optax.adam(0.1)
    params = {"w": jnp.array([1.0, 2.0])}
    variables = {"params": params, "batch_stats": {"mean": jnp.float32(7.0)}}
    state = TrainState(variables, {"a": optimizer.init(params)}, {}, jnp.int32(3))
    step = make_step(Phase("p", "s", 1, "a", root), optimizer, None, skip_nonfinite=True)
    new, log = jax.jit(step)(state, jnp.array(batch), jax.random.key(0))
    assert int(new.step) == 4
    same = [
        np.array_equal(x, y)
        for part in ("variables", "optimizers")
        for x, y in zip(leaves(getattr(new, part)), leaves(getattr(state, part)), strict=True)
    ]
    assert not any(same[:2]) if good else all(same)
    assert np.isfinite([log["loss"], log["gradient_norm"]]).all() == good
    # Without it, the same step of a good batch.
    if good:
        plain = make_step(Phase("p", "s", 1, "a", root), optimizer, None)
        expected, _ = jax.jit(plain)(state, jnp.array(batch), jax.random.key(0))
        for x, y in zip(leaves(new), leaves(expected), strict=True):
            np.testing.assert_array_equal(x, y)


class Poisoned(Line):
    """Batches with item 5 have no finite loss: one of the two of each epoch, or none."""

    def phases(self):
        _, *rest = super().phases()
        yield Phase("first", "train", 4, "localization", self.poisoned)
        yield from rest


def test_the_rest_of_an_epoch_counts(bench, capsys):
    state = bench.train(method=Poisoned, config=settings(on_nonfinite="skip"))
    rows = [row for row in bench.rows() if row["phase"] == "first"]
    assert len(rows) == 4 and {row["skipped"] for row in rows} <= {0, 1}
    count = sum(row["skipped"] for row in rows)
    assert count > 0 and all(np.isfinite(row["loss"]) for row in rows)
    assert all(np.isfinite(x).all() for x in leaves(state))
    assert int(state.step) == 4 * 2 + 2 * 2 + 3  # those that were skipped have their number
    [optimizer] = {int(x) for x in leaves(state.optimizers["localization"]) if x.dtype == np.int32}
    assert optimizer == 4 * 2 - count
    said = capsys.readouterr()
    were = "step was skipped because its" if count == 1 else "steps were skipped because their"
    assert skipped_steps(bench.run) == f"{count} {were} loss was not finite"
    assert skipped_steps(bench.run) in said.out
    notes = [line for line in said.out.splitlines() if "skipped step" in line]
    assert len(notes) == count and all("item5" in line for line in notes)


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_stopped_and_resumed_it_counts_the_same(bench, parallel):
    config = settings(on_nonfinite="skip", parallel=parallel)
    whole, rows = bench.train("whole", Poisoned, config=config), bench.rows()
    for _ in range(10):
        try:
            state = bench.train(method=Poisoned, config=config, stop=after(4))
            break
        except Interrupted:
            continue
    assert bench.rows() == rows and sum(row.get("skipped", 0) for row in rows) > 0
    for x, y in zip(leaves(state), leaves(whole), strict=True):
        np.testing.assert_array_equal(x, y)


def test_where_every_step_is_skipped_the_run_stops(bench):
    class Hopeless(Line):
        def phases(self):
            yield Phase("first", "train", 1, "localization", self.loss)
            yield Phase("second", "train", 2, "localization", self.never)

        def never(self, variables, aux, batch, key):
            loss, out = self.loss(variables, aux, batch, key)
            return loss + jnp.nan, out

    with pytest.raises(NonFiniteLoss, match="every step of epoch 1 of phase second was skipped"):
        bench.train(method=Hopeless, config=settings(on_nonfinite="skip"))
    assert [row["phase"] for row in bench.rows()] == ["first"]


def test_there_is_no_third_way(bench):
    with pytest.raises(ValueError, match=r"config\.on_nonfinite is 'stop' or 'skip', not 'hope'"):
        bench.train(config=settings(on_nonfinite="hope"))
