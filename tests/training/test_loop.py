"""The loop: phases in turn, refreshes, early stops, and a loss that is not finite."""

import re

import jax
import numpy as np
import pytest

from avloc.training.epoch import NonFiniteLoss
from avloc.types import Phase
from tests.training.line import BATCH, SCENES, TRAIN, Line, settings


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def test_phases_run_in_turn(bench):
    state = bench.train()
    per_epoch, scenes = TRAIN // BATCH, SCENES // BATCH
    rows = [(row["phase"], row["epoch"], row["step"]) for row in bench.rows()]
    assert rows == [
        ("first", 1, per_epoch),
        ("first", 2, 2 * per_epoch),
        ("clusters", 0, 2 * per_epoch),
        ("second", 1, 3 * per_epoch),
        ("second", 2, 4 * per_epoch),
        ("clusters", 0, 4 * per_epoch),
        ("third", 1, 4 * per_epoch + scenes),
    ]
    assert int(state.step) == 4 * per_epoch + scenes
    assert {"loss", "gradient_norm", "seen"} <= bench.rows()[0].keys()
    assert sorted(path.name for path in bench.run.stages.iterdir()) == ["stage_one", "stage_two"]
    # Each optimizer has taken its own phases' steps: its count is among its state.
    for name, steps in (("localization", 4), ("classification", 4), ("matching", 3)):
        counts = [x for x in leaves(state.optimizers[name]) if x.dtype == np.int32]
        assert counts and all(count == steps for count in counts)


def test_a_refresh_sees_every_item_in_order(bench):
    state = bench.train()
    # Item i has the colour of video i % 3; 10 items fill 2.5 batches.
    assert np.asarray(state.aux["labels"]).tolist() == [i % 3 for i in range(TRAIN)]
    assert [row["nmi"] for row in bench.rows() if row["phase"] == "clusters"] == [1.0, 1.0]


def test_same_seed_same_run_and_another_seed_another(bench):
    first = bench.train("a")
    for x, y in zip(leaves(first), leaves(bench.train("b")), strict=True):
        np.testing.assert_array_equal(x, y)
    other = bench.train("c", config=settings(seed=1))
    assert any((x != y).any() for x, y in zip(leaves(first), leaves(other), strict=True))


def test_a_finished_run_is_left_as_it_is(bench):
    first, rows = bench.train(), bench.rows()
    again = bench.train()
    for x, y in zip(leaves(first), leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)
    assert bench.rows() == rows


def test_a_rate_of_zero_freezes_a_module(bench):
    config = settings()
    for spec in config.optimizers.values():
        spec.learning_rates.trunk = 0.0
    state = bench.train(config=config)
    key = jax.random.fold_in(jax.random.key(0), 0)
    trunk, head = (state.variables["params"][name]["w"] for name in ("trunk", "head"))
    np.testing.assert_array_equal(trunk, jax.random.normal(key, (3,)))
    assert np.abs(head).min() > 1e-3


def test_stop_ends_a_phase_early(bench):
    seen = []

    class Impatient(Line):
        def phases(self):
            def stop(history):
                seen.append([row["loss"] for row in history])
                return len(history) == 2

            yield Phase("long", "train", 5, "localization", self.loss, stop=stop)
            yield Phase("next", "train", 1, "localization", self.loss)

    bench.train(method=Impatient)
    rows = bench.rows()
    assert [(row["phase"], row["epoch"]) for row in rows] == [("long", 1), ("long", 2), ("next", 1)]
    assert seen == [[rows[0]["loss"]], [rows[0]["loss"], rows[1]["loss"]]]


def test_settings_of_phases_reach_one_compiled_step(bench):
    traced = []

    class Settings(Line):
        def loss(self, variables, aux, batch, key):
            traced.append(aux["target"])
            loss, out = super().loss(variables, aux, batch, key)
            return loss, out._replace(metrics={"target": aux["target"]})

        def phases(self):
            for target in (3.0, 5.0):
                aux = {"target": target}
                yield Phase(f"to {target}", "train", 2, "localization", self.loss, aux=aux)

    state = bench.train(method=Settings)
    assert float(state.aux["target"]) == 5
    assert [(row["phase"], row["target"]) for row in bench.rows()] == [
        *[("to 3.0", 3.0)] * 2,
        *[("to 5.0", 5.0)] * 2,
    ]
    assert len(traced) == 1


def test_gradients_do_not_reach_aux(bench):
    """`target` is in the loss and stays what the last refresh made it."""

    class OnePhase(Line):
        def phases(self):
            yield Phase("one", "train", 3, "localization", self.loss, refresh=self.relabel)

    state = bench.train(method=OnePhase)
    key = jax.random.fold_in(jax.random.key(0), 1_000_000)
    assert float(state.aux["target"]) == float(jax.random.uniform(key))


@pytest.mark.parametrize("checkpoint_every", [1, 500])
def test_a_loss_that_is_not_finite_stops_the_run(bench, checkpoint_every):
    config = settings(checkpoint_every=checkpoint_every)
    whole, rows = bench.train("whole", config=config), bench.rows()

    class Poisoned(Line):
        def phases(self):
            first, _, *rest = super().phases()
            yield first
            yield Phase("second", "train", 2, "classification", self.poisoned, self.relabel)
            yield from rest

    with pytest.raises(NonFiniteLoss) as error:
        bench.train(method=Poisoned, config=config)
    found = re.fullmatch(
        r"the loss of phase second is nan at its step (\d); the last good checkpoint is kept; "
        r"examples: (.*)",
        str(error.value),
    )
    assert found and 1 <= int(found[1]) <= 2
    ids = found[2].split(", ")
    assert "item5" in ids and len(ids) == BATCH
    # The checkpoint is from before it: with the loss fixed, the run goes on to the same end.
    fixed = bench.train(config=config)
    for x, y in zip(leaves(whole), leaves(fixed), strict=True):
        np.testing.assert_array_equal(x, y)
    assert bench.rows() == rows


def test_drawn_negatives_and_zoom_reach_the_loss(bench):
    class Drawn(Line):
        def loss(self, variables, aux, batch, key):
            assert batch.negative.shape == batch.image.shape
            loss, out = super().loss(variables, aux, batch, key)
            spread = batch.image.max(axis=(1, 2)) != batch.image.min(axis=(1, 2))
            metrics = dict(out.metrics) | {
                "same": (batch.negative == batch.image).all(axis=(1, 2, 3)).mean(),
                "zoomed": spread.any(axis=-1).mean(),
            }
            return loss, out._replace(metrics=metrics)

        def phases(self):
            yield Phase("plain", "train", 1, "localization", self.loss)
            yield Phase("zoomed", "train", 1, "localization", self.loss, zoom_out=1.0)

    bench.train(method=Drawn, config=settings(negatives="drawn"))
    assert [row["same"] for row in bench.rows()] == [0, 0]
    assert [row["zoomed"] for row in bench.rows()] == [0, 1]
