"""`jit` over a mesh and `pmap` train as one device does."""

import os
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from avloc.machine.devices import Devices
from tests.training import parallel_steps

# No lower level of optimization here: gradients of maxima come out wrong there.
FLAGS = "--xla_force_host_platform_device_count=4"


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Results of 4 devices, by mode; made while this process makes those of one."""
    out = tmp_path_factory.mktemp("devices") / "four.npz"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.training.parallel_steps", str(out), "jit", "pmap"],
        env=os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
    )
    yield lambda: _results(process, out)
    process.kill()


def _results(process, out):
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return np.load(out)


@pytest.fixture(scope="module")
def results(four):
    one = parallel_steps.run("jit"), parallel_steps.scan(), parallel_steps.cluster()
    return *one, four()


def part(results, mode):
    return {k.partition("|")[2]: results[k] for k in results.files if k.startswith(f"{mode}|")}


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_four_devices_train_as_one(results, mode):
    one, *_, four = results
    assert int(four["devices"]) == 4 and jax.device_count() == 1
    many = part(four, mode)
    assert many.keys() == one.keys()
    names = {k.partition(":")[0] for k in one}
    # Four losses of CSOL, the last with drawn negatives too; two of IEr; one of C2F.
    assert len(names) == 8
    for name, value in one.items():
        # Rounding adds up over the thousands of cells that make a gradient.
        relative = 1e-4 if "gradient_norm" in name else 1e-5
        limit = relative * max(np.abs(value).max(), 0.1)
        difference = np.abs(many[name] - value).max()
        assert difference <= limit, f"{name}: {value.ravel()[:3]}, {many[name].ravel()[:3]}"


def test_the_steps_above_do_something(results):
    one, *_ = results
    for name in {k.partition(":")[0] for k in one}:
        losses = [one[f"{name}: step {n} ['loss']"] for n in range(parallel_steps.STEPS)]
        assert np.isfinite(losses).all() and np.ptp(losses) > 1e-3, (name, losses)
        assert one[f"{name}: step 0 ['gradient_norm']"] > 1e-2
        moved = one[f"{name}: ['batch_stats']['audio']['bn_stem']['mean']"]
        assert np.abs(moved).max() > 1e-3


def test_a_scan_gives_every_item_once_in_order(results):
    _, one, _, four = results
    assert one["index"].tolist() == list(range(parallel_steps.ITEMS))
    many = part(four, "scan")
    assert many.keys() == one.keys()
    for name, value in one.items():
        np.testing.assert_allclose(many[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_clusters_of_rows_on_four_devices_are_those_on_one(results):
    _, _, one, four = results
    many = part(four, "cluster")
    np.testing.assert_array_equal(many["labels"], one["labels"])
    assert len(set(one["labels"].tolist())) == 6
    np.testing.assert_allclose(many["inertia"], one["inertia"], rtol=1e-5)
    np.testing.assert_allclose(many["centroids"], one["centroids"], rtol=1e-5, atol=1e-6)


def test_unknown_mode():
    with pytest.raises(ValueError, match=r"config.parallel is 'jit' or 'pmap', not 'spmd'"):
        Devices("spmd")


def test_a_training_batch_divides_over_the_devices():
    devices = Devices()
    devices.require_even(6)
    assert devices.even(6) == 6
    devices.mesh = SimpleNamespace(size=4)
    with pytest.raises(ValueError, match=r"config.batch_size is 6, which 4 devices do not divide"):
        devices.require_even(6)
    assert [devices.even(size) for size in (1, 6, 8)] == [4, 8, 8]


def test_replicate_owns_its_buffers():
    """The step gives its state away; what the state was made from stays."""
    devices = Devices()
    given = {"w": jax.numpy.ones(1000)}
    step = devices.compile_step(lambda state, batch, key: ({"w": state["w"] + 1}, {}))
    kept = devices.replicate(given)
    new, _ = step(kept, np.zeros((2, 1)), None)
    assert float(given["w"].sum()) == 1000 and float(new["w"].sum()) == 2000
