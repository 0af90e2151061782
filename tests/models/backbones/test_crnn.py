"""C2F's recurrent audio network: the shapes of the sheet, and that frames hear both ways."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from avloc.inputs import FRONT_ENDS
from avloc.models.backbones.crnn import CRNN


class All(nn.Module):
    net: CRNN

    def __call__(self, x, train):
        stages = self.net.stages(x, train)
        return stages, self.net.frames(stages[-1]), self.net.summary(stages[-1])


def test_shapes_of_five_seconds():
    """Both front ends have 251 frames for five seconds."""
    for name, rate in (("coarse", 16000), ("coarse_22k", 22050)):
        spec = FRONT_ENDS[name]
        assert (spec.sample_rate, spec.n_fft / rate, spec.hop / rate) == (rate, 0.04, 0.02)
        assert 1 + 5 * rate // spec.hop == 251
    x = jax.ShapeDtypeStruct((2, 251, 64, 1), jnp.float32)
    stages, frames, summary = jax.eval_shape(
        lambda x: All(CRNN()).init_with_output(jax.random.key(0), x, False)[0], x
    )
    assert [s.shape[1:] for s in stages] == [(63, 16, 64), (63, 8, 128), (63, 4, 256), (63, 2, 512)]
    assert frames.shape == (2, 63, 256) and summary.shape == (2, 256) == (2, CRNN().channels)


def test_a_frame_hears_what_comes_before_and_after_it():
    net = CRNN(width=2, hidden=3)
    stage = np.random.default_rng(0).normal(size=(1, 6, 2, 16)).astype(np.float32)
    variables = net.init(jax.random.key(0), stage, method="frames")

    def frames(stage):
        return net.apply(variables, stage, method="frames")

    first, last = stage.copy(), stage.copy()
    first[:, 0] += 1
    last[:, -1] += 1
    before = np.asarray(frames(stage))
    for changed in (first, last):
        moved = np.abs(np.asarray(frames(changed)) - before).max(axis=(0, 2))
        assert (moved > 0).all()
    half = np.abs(np.asarray(frames(first)) - before)[..., 3:]  # backward: later ones are blind
    assert not half[:, 1:].any() and half[:, 0].any()
