"""Choices of the published DSOL code that are fields, by hand."""

import jax
import numpy as np
import pytest

from avloc.types import Batch
from tests.training.tiny_csol import HEADS, K, method

RNG = np.random.default_rng(0)
BATCH = Batch.of(
    RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
    (RNG.normal(size=(4, 16000)) * 3000).astype(np.int16),
)


def shapes(made):
    return jax.eval_shape(made.init, jax.random.key(0), BATCH)


def test_a_scale_and_a_shift_of_object_maps_are_learnt():
    made = method(stage_two__affine=True)
    more, less = (set(shapes(one)[0]["params"]) for one in (made, method()))
    assert more - less == {"objects"} and less < more
    f = np.full((1, 1, 1, 32), 0.5, np.float32)
    keys = np.eye(K, 32, dtype=np.float32) * [[2.0], [4.0], [6.0]]  # d . f is 1, 2 and 3
    aux = {"dictionary": keys, "feature_mean": np.zeros(32, np.float32)}
    for scale, shift, expected in ((1, 0, [1, 2, 3]), (-2, 0.5, [-1.5, -3.5, -5.5])):
        learnt = {"scale": np.float32(scale), "shift": np.float32(shift)}
        variables = {"params": {"objects": learnt}}
        maps = made._source_maps(f, np.full((1, 1, 1), 0.25, np.float32), variables, aux)
        np.testing.assert_allclose(maps[0, 0, 0], 0.25 * np.array(expected), rtol=1e-6)


@pytest.mark.parametrize(("asked", "deviation"), [(0.0, 32**-0.5), (0.01, 0.01)])
def test_class_heads_begin_with_a_deviation(asked, deviation):
    made = method(stage_one__head_deviation=asked)
    params = {name: {"kernel": np.zeros((32, 400))} for name in HEADS}
    for head in made._fresh_heads(jax.random.key(1), params).values():
        assert np.std(head["kernel"]) == pytest.approx(deviation, rel=0.03)
        assert not np.any(head["bias"])


def test_the_mask_follows_its_fields():
    features, heard = np.ones((1, 5, 5, 1), np.float32), np.zeros((1, 5, 5), np.float32)
    heard[0, 2, 2] = 0.06
    for threshold, dilated, cells in ((0.05, True, 5), (0.05, False, 1), (0.07, True, 0)):
        fields = {"mask__threshold": threshold, "mask__dilated": dilated}
        made = method(representation="mask", **fields)._represent(features, heard)
        assert made[0, 0] == pytest.approx(cells / 25)


def test_negatives_of_stage_two_are_quarters_where_asked():
    filled = jax.tree.map(
        lambda x: np.abs(RNG.normal(size=x.shape) * 0.1).astype(x.dtype), shapes(method())
    )
    batch = BATCH._replace(video=np.arange(4, dtype=np.int32))
    log = [
        jax.jit(method(stage_two__negative_side=side).matching_loss)(
            *filled, batch, jax.random.key(0)
        )[1].metrics
        for side in (1, 2)
    ]
    assert log[1]["matching"] == log[0]["matching"]
    assert log[1]["bce"] < log[0]["bce"]  # a quarter's peak is no higher
