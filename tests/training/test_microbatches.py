"""A batch in parts has the loss and the gradient of the whole batch, for a part's memory."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.machine.devices import Devices
from avloc.training.microbatches import in_microbatches
from tests.training import microbatch_steps, tiny_csol
from tests.training.microbatch_steps import CASES, PARTS
from tests.training.parallel_steps import batches


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Results of 4 devices; made while this process makes the references."""
    out = tmp_path_factory.mktemp("parts") / "four.npz"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.training.microbatch_steps", str(out)],
        env=os.environ
        | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield lambda: _results(process, out)
    process.kill()


def _results(process, out):
    if not out.exists():
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return np.load(out)


class Loop:
    """A network that is applied to each group of a batch in a plain Python loop.

    Item i is in group `i % PARTS`; drawn images are behind the batch's own. Nothing is shared with
    `in_microbatches`.
    """

    def __init__(self, net):
        self._net = net

    def __getattr__(self, name):
        return getattr(self._net, name)

    def apply(self, variables, *inputs, mutable=(), **how):
        if not mutable:
            return self._net.apply(variables, *inputs, **how)
        image, sound, *modes = inputs
        size, made = len(sound), []
        for group in range(PARTS):
            rows = [row for row in range(len(image)) if row % size % PARTS == group]
            own = [row for row in rows if row < size]
            args = image[np.array(rows)], sound[np.array(own)], *modes
            made.append(self._net.apply(variables, *args, mutable=list(mutable), **how))
        outs, news = zip(*made, strict=True)

        def together(*parts):
            if parts[0].ndim == 0:
                return parts[0]
            turns = [iter(part) for part in parts]
            rows = [next(turns[row % size % PARTS]) for row in range(PARTS * len(parts[0]))]
            return jnp.stack(rows)

        mean = jax.tree.map(lambda *parts: sum(parts) / PARTS, *news)
        return jax.tree.map(together, *outs), mean


def in_a_loop(method):
    method.net = Loop(method.net)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[3]}, {case[0]}")
def test_four_devices_in_parts_give_the_whole_batchs_gradient(case, four):
    expected = microbatch_steps.step(("jit", *case[1:]), 1, in_a_loop)
    results = four()
    assert int(results["devices"]) == 4 and jax.device_count() == 1
    got = {
        name.partition("|")[2]: results[name]
        for name in results.files
        if name.startswith(f"{case}|")
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        # Sums in another order; sums over thousands of cells cancel down to what is left.
        limit = 1e-5 * max(np.abs(value).max(), 0.1)
        assert np.abs(got[name] - value).max() <= limit, name
    assert expected["['log']['gradient_norm']"] > 1e-2


class Uncoupled(Loop):
    """A network without batch statistics, applied to all at once."""

    def apply(self, variables, image, sound, *modes, mutable=(), **how):
        out = self._net.apply(variables, image, sound, False, **how)
        return out, {"batch_stats": variables["batch_stats"]}


def test_without_batch_statistics_parts_make_no_difference():
    def uncouple(method):
        method.net = Uncoupled(method.net)

    case = ("jit", "csol", "in_batch", "mixed classification")
    whole, parts = (microbatch_steps.step(case, count, uncouple) for count in (1, 4))
    for name, value in whole.items():
        limit = 1e-6 * max(np.abs(value).max(), 1.0)
        assert np.abs(parts[name] - value).max() <= limit, name


def pairs(w, x, count):
    """A loss over all pairs of a batch, whose parts each have their own mean; and those means."""

    def embed(part):
        y = jnp.tanh(part["x"] @ w)
        y = y - y.mean(axis=0)
        return {"y": y * part["weight"][:, None], "scale": w[0, 0]}, y.var(axis=0)

    out, variance = in_microbatches(embed, x, count)
    return _contrast(out["y"], out["scale"]), variance


def by_hand(w, x, count):
    """The same, each part written out."""
    y, variances = [None] * len(x["x"]), []
    for group in range(count):
        part = jnp.tanh(x["x"][group::count] @ w)
        part = part - part.mean(axis=0)
        variances.append(part.var(axis=0))
        for row, value in zip(range(group, len(y), count), part, strict=True):
            y[row] = value * x["weight"][row]
    return _contrast(jnp.stack(y), w[0, 0]), sum(variances) / count


def _contrast(y, scale):
    products = scale * y @ y.T
    return jnp.sum(jax.nn.logsumexp(products, axis=1) - jnp.diag(products))


@pytest.mark.parametrize("count", [1, 3])
def test_parts_by_hand_in_float64(count):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        w = jnp.asarray(rng.normal(size=(5, 4)))
        x = {
            "x": jnp.asarray(rng.normal(size=(12, 5))),
            "weight": jnp.asarray(rng.uniform(size=12)),
        }
        (value, got), (same, expected) = (
            jax.jit(jax.value_and_grad(loss, has_aux=True), static_argnums=2)(w, x, count)
            for loss in (pairs, by_hand)
        )
        assert got.dtype == jnp.float64
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)
        for a, b in zip(value, same, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_memory_falls_with_the_number_of_parts():
    """Bytes that a compiled gradient needs beside its arguments; the parameters are few."""
    w = jax.ShapeDtypeStruct((32, 32), jnp.float32)
    x = jax.ShapeDtypeStruct((4096, 32), jnp.float32)

    def needed(count):
        def loss(w, x):
            def deep(part):
                for _ in range(20):
                    part = jnp.sin(part @ w)
                return part.max(axis=1, keepdims=True), ()

            return jnp.square(in_microbatches(deep, x, count)[0]).sum()

        compiled = jax.jit(jax.grad(loss)).lower(w, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert needed(16) < 0.25 * needed(1)


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_batch_that_does_not_divide(count):
    sentence = (
        rf"config.accumulate is {count}, which does not divide the 8 items of a batch on each"
    )
    with pytest.raises(ValueError, match=sentence):
        Devices().require_even(8, count)
    method = tiny_csol.method(accumulate=count)
    variables, aux = jax.eval_shape(lambda: method.init(jax.random.key(0), batches(False)[0]))
    with pytest.raises(ValueError, match=sentence):
        jax.eval_shape(method.warmup_loss, variables, aux, batches(False)[0], jax.random.key(0))
