"""A run's separation is measured beside the mixture and the ideal mask; silence is counted."""

import jax
import numpy as np
import pytest

from avloc.clustering.assignment import CategoryMap
from avloc.configs.csol import base as csol
from avloc.configs.sop import base
from avloc.scoring.separation import ROWS, score_separation
from avloc.training.loading import LoadedRun
from avloc.training.methods import create
from avloc.types import Batch, DatasetInfo

RATE, SECONDS = 16000, 0.25


class Tones:
    """Six clips: two kinds of tone, low and high, and one clip of silence."""

    info = DatasetInfo({"test": 6}, ("low", "high"))

    def __init__(self, silent: bool = False):
        self.silent = silent

    def labels(self, split):
        return np.array([0, 1, 0, 1, 0, 1])

    def source(self, split):
        time = np.arange(int(RATE * SECONDS)) / RATE
        rng = np.random.default_rng(0)
        rows = []
        for place, kind in enumerate(self.labels(split)):
            tone = np.sin(2 * np.pi * (300, 1500)[kind] * (1 + 0.05 * place) * time)
            tone = tone * (not (self.silent and place == 1)) * 8000
            objects = {
                "bbox": np.zeros((1, 4)), "label": [kind], "sounding": [True],
                "offscreen": [False], "level_db": [0.0],
            }  # fmt: skip
            frame = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            rows.append(
                {"id": b"x", "video": b"%d" % place, "second": 0, "frames": [frame],
                 "waveform": tone.astype(np.int16), "objects": objects}
            )  # fmt: skip
        return rows


@pytest.fixture(scope="module")
def run():
    config = base()
    config.image_size, config.clusters, config.batch_size, config.data.threads = 32, 2, 4, 0
    config.model.update(dict(width=4, blocks=(1, 0, 0, 0), stem_pool=False))
    config.sound.update(dict(sample_rate=8000, samples=1000, n_fft=126, hop=32, rows=32))
    config.separation.update(dict(channels=2, levels=2, width=2, deviation=0.0))
    method = create(config, DatasetInfo({"train": 6}))
    blank = Batch.of(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 4000), np.int16))
    shapes = jax.eval_shape(method.init, jax.random.key(0), blank)
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes[0])
    # Every logit is the bias: the mask leaves everything.
    zeros["params"]["mask_bias"] = np.float32(9.0)
    return LoadedRun(config, method, zeros, {}, CategoryMap.unnamed(2), method.info)


def test_a_mask_of_ones_scores_as_the_mixture_and_the_ideal_one_far_above(run):
    found = score_separation(run, Tones(), "test", pairs=5, batch=2)
    assert (found["pairs"], [found[row]["skipped"] for row in ROWS]) == (5, [0] * 4)
    assert abs(found["mixture"]["sdr"]) < 3
    for measure in ("sdr", "sir", "si_sdr"):
        assert found["method"][measure] == pytest.approx(found["mixture"][measure], abs=0.3)
    assert found["ideal mask"]["sdr"] > found["mixture"]["sdr"] + 10


def test_pairs_with_silence_are_counted(run):
    found = score_separation(run, Tones(silent=True), "test", pairs=6, batch=3)
    silent = found["mixture"]["skipped"]
    assert 0 < silent < 6
    assert all(found[row]["skipped"] >= silent for row in ROWS)
    assert np.isfinite(found["mixture"]["sdr"])


def test_a_method_that_does_not_separate_is_one_sentence(run):
    other = create(csol(), DatasetInfo({"train": 6, "cocktail_train": 6}))
    with pytest.raises(ValueError, match="cannot separate sounds: choose one that can"):
        score_separation(run._replace(method=other), Tones(), "test")
