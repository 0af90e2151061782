"""What stage one makes of representations that are no good: one sentence, and nothing written."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from avloc.training.methods.clusters import finite
from avloc.types import TrainState
from tests.training.line import Line
from tests.training.test_resume import numbers
from tests.training.tiny_csol import K, N, method


def refresh(name, rows):
    """Runs the refresh of a phase on these representations; the network is not looked at."""
    made = method()
    heads = {n: {"kernel": jnp.zeros((32, K))} for n in ("visual_classifier", "audio_classifier")}
    state = TrainState(
        {"params": heads}, {"classification": ()}, {"labels": jnp.zeros(N, jnp.int32)}, 0
    )
    run = next(phase.refresh for phase in made.phases() if phase.name == name)
    return run(state, lambda f, state, split: (rows, rows, rows), jax.random.key(0))


def rows_of(kinds):
    """N representations of so many directions."""
    return np.eye(max(kinds, 1), 32, dtype=np.float32)[np.arange(N) % kinds]


@pytest.mark.parametrize("kinds", [1, 2])
def test_empty_clusters(kinds):
    with pytest.raises(ValueError) as error:
        refresh("classification", rows_of(kinds))
    assert str(error.value) == (
        f"{K - kinds} of {K} clusters are empty, as split train has too few clips, or too many "
        f"that look alike: set config.clusters to {kinds} or less, or add data"
    )


def test_as_many_kinds_as_clusters_will_do():
    after = refresh("classification", rows_of(K))
    assert np.bincount(after.aux["labels"]).tolist() == [N // K] * K


@pytest.mark.parametrize("phase", ["classification", "dictionary"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_representations_that_are_not_finite(phase, value):
    rows = rows_of(K)
    rows[[2, 5], 7] = value
    sentence = f"2 of {N} object representations of split train hold NaN or infinity: "
    with pytest.raises(ValueError, match=re.escape(sentence)):
        refresh(phase, rows)


def test_a_run_that_diverges_keeps_its_last_checkpoint(bench):
    class Diverging(Line):
        def relabel(self, state, scan, key):
            finite(jnp.full((4, 3), jnp.nan), "prototypes")
            raise AssertionError("not reached")

    with pytest.raises(ValueError, match="4 of 4 prototypes hold NaN or infinity"):
        bench.train(method=Diverging)
    kept, rows = numbers(bench), bench.rows()
    assert [row["phase"] for row in rows] == ["first", "first"]
    assert not bench.run.stages.exists()
    with pytest.raises(ValueError, match="4 of 4 prototypes hold NaN or infinity"):
        bench.train(method=Diverging)
    assert numbers(bench) == kept and bench.rows() == rows
    # Mended, it goes on.
    assert int(bench.train().step) > 0
