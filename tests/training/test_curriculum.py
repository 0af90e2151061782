"""The curriculum of IEr: how the share of mixtures and the clips in one rise, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from avloc.configs.ier import base
from avloc.training.methods import create
from avloc.training.methods.curriculum import Curriculum
from avloc.training.methods.mixtures import distinct_mixtures
from avloc.types import DatasetInfo, TrainState


def curriculum(kind, clusters=11, **fields):
    spec = {"share": (0.5, 0.9), "sources": (2, 4), "curriculum": kind, "count": "exactly"}
    return Curriculum(ConfigDict(spec | fields), clusters)


def course(made, epochs, steps):
    """Share and clips of every step, a list an epoch; the run's first step is its 100th."""
    rows = []
    for epoch in range(epochs):
        begun = 100 + epoch * steps
        aux = made.entries(*made.stretch(epoch, epochs, steps), begun)
        at = [made.at({**aux, "step": jnp.int32(begun + i)}) for i in range(steps)]
        rows.append([(round(float(share), 4), int(most)) for share, most in at])
    return rows


def test_by_batches_both_rise_with_every_step():
    rows = [step for epoch in course(curriculum("batches"), 3, 3) for step in epoch]
    assert [share for share, _ in rows] == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9]
    # Progress 0, 1/8 ... 1, in thirds: 3 clips from 3/8 on, 4 from 6/8 on.
    assert [most for _, most in rows] == [2, 2, 2, 3, 3, 3, 4, 4, 4]


def test_by_epochs_they_stay_within_one():
    rows = course(curriculum("epochs"), 6, 2)
    assert all(len(set(epoch)) == 1 for epoch in rows)
    assert [epoch[0] for epoch in rows] == [
        *((0.5, 2), (0.58, 2), (0.66, 3)),
        *((0.74, 3), (0.82, 4), (0.9, 4)),
    ]
    # A third of the way is where the next number begins.
    assert [epoch[0][1] for epoch in course(curriculum("epochs"), 4, 1)] == [2, 3, 4, 4]


def test_rounded_numbers_give_the_first_and_the_last_half_as_long():
    rows = course(curriculum("rounded"), 5, 1)
    assert [epoch[0] for epoch in rows] == [(0.5, 2), (0.6, 3), (0.7, 3), (0.8, 4), (0.9, 4)]
    assert [e[0][1] for e in course(curriculum("rounded"), 9, 1)] == [2, 2, 3, 3, 3, 3, 4, 4, 4]


def test_one_step_is_the_beginning():
    for kind in ("batches", "epochs", "rounded"):
        assert course(curriculum(kind), 1, 1) == [[(0.5, 2)]]


def test_phases_divide_the_way_between_them():
    config = base()
    config.image_size, config.batch_size = 32, 4
    config.model.update(dict(width=4, blocks=(0, 0, 0, 1)))
    config.identification.update(dict(epochs=2, curriculum="batches", steps=10))
    method = create(config, DatasetInfo({"train": 13}))
    refreshes = [p.refresh.keywords for p in method.phases() if p.name == "identification"]
    # Two epochs of two passes of three steps: 12 steps, 11 rises.
    assert [r["rise"] for r in refreshes] == pytest.approx([1 / 11] * 2)
    assert [r["progress"] for r in refreshes] == pytest.approx([0, 6 / 11])
    aux = {"labels": jnp.arange(13) % config.clusters}
    state = TrainState({}, {}, aux, jnp.int32(40))
    (second,) = [p for p in method.phases() if p.name == "identification"][1:]
    features = jnp.ones((13, 4))
    made = second.refresh(state, lambda *_: features, None).aux
    assert (int(made["begun"]), float(made["progress"])) == (40, pytest.approx(6 / 11))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"curriculum": "steps"}, "curriculum is one of rounded, epochs, batches, not 'steps'"),
        ({"count": "all"}, "count is one of up_to, exactly, not 'all'"),
        ({"share": (0.9, 0.5)}, "share is two shares from 0 to 1"),
        ({"clusters": 3}, "mixtures of 4 clips of different clusters, but config.clusters is 3"),
    ],
)
def test_what_means_nothing_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        curriculum(**({"kind": fields.pop("curriculum", "epochs")} | fields))


def test_mixtures_of_exactly_so_many_clips():
    labels = jnp.array([0, 1, 2, 3, 0, 1, 2, 0])
    real = jnp.arange(8) < 7
    mix = jax.jit(lambda key: distinct_mixtures(labels, real, 1.0, 3.0, 4, key, exactly=True))
    for number in range(5):
        sizes = np.asarray(mix(jax.random.key(number))).sum(axis=1)
        np.testing.assert_array_equal(sizes, [3] * 7 + [1])  # the last is padding
