"""The published organisation, as it is measured, takes the library's step: same losses."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import benchmarks
from benchmarks import published_jax, steps
from benchmarks.published_jax import Published
from benchmarks.step_task import Task


def task(phase: str) -> Task:
    config = steps.PHASES[phase][1].get_config()
    steps.narrow(config)
    return Task.of(config, phase, 4)


@pytest.mark.parametrize("phase", ["matching", "referral"])
def test_both_organisations_have_one_loss(phase):
    made = task(phase)
    assert not np.array_equal(made.batch.negative, made.batch.image)
    assert made.inputs["sounds"].shape == (4, 201, 64, 1)
    published, key = Published(made), jax.random.fold_in(jax.random.key(0), 0)
    variables, aux = made.state.variables, made.state.aux

    @jax.jit
    def ours(variables):
        return made.phase.loss(variables, aux, made.batch, key)[0]

    @jax.jit
    def theirs(variables, inputs):
        taught = published.both(variables, inputs, False)[0]
        return getattr(published, phase)(variables, inputs, aux, taught)[0]

    wanted = ours(variables)
    np.testing.assert_allclose(theirs(variables, dict(made.inputs)), wanted, rtol=1e-5)
    if find_spec("torch"):
        from benchmarks import published_torch

        np.testing.assert_allclose(published_torch.step(made)(), wanted, rtol=1e-4)


@pytest.mark.parametrize("there", [True, False])
def test_rows_of_a_phase(monkeypatch, there):
    """With steps that do nothing: the first losses are compared, each target has its rows."""
    calls = {"in_batch": 0.5, "drawn": 0.25, "JAX": 0.25 * (1 + 1e-6), "PyTorch": 0.25 * 1.01}
    torch = SimpleNamespace(step=lambda task: lambda: calls["PyTorch"])
    monkeypatch.setitem(sys.modules, "benchmarks.published_torch", torch)
    monkeypatch.setattr(benchmarks, "published_torch", torch, raising=False)
    monkeypatch.setattr(steps, "find_spec", lambda name: there)
    monkeypatch.setattr(steps.published_jax, "step", lambda task: lambda: calls["JAX"])
    fake = SimpleNamespace(ours=lambda negatives: lambda: calls[negatives])
    monkeypatch.setattr(steps, "Task", SimpleNamespace(of=lambda *arguments: fake))
    by_torch, by_jax, drawn = steps.phase_rows("localization", quick=True)
    assert (by_torch.target, by_jax.target, drawn.target) == (1.5, 1.5, None)
    assert by_jax.amount == 4 and by_jax.equality.holds
    assert "drawn" in drawn.name and "drawn" not in by_jax.name
    for row in (by_torch, drawn):
        assert row.missing == ("" if there else "torch is not installed")
        assert row.equality is None if not there else not row.equality.holds
    assert len(list(steps.phase_rows("identification", quick=True))) == 2


def test_steps_of_both_go_the_same_way():
    made = task("identification")
    ours, theirs = made.ours("in_batch"), published_jax.step(made)
    first = float(ours()), float(theirs())
    assert first[0] == pytest.approx(first[1], rel=1e-5)
    assert float(theirs()) < first[1] and float(ours()) != first[0]
