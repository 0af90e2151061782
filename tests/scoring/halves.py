"""A method and pictures of bright and dark halves, whose scores are known by hand."""

import jax.numpy as jnp
import numpy as np

from avloc.types import Phase, Prediction, TrainState

NAMES = ("bell", "drum")
CELLS = 8
LEFT, RIGHT = (0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0)


class Brightness:
    """Bright halves of a picture are of cluster 1, dark ones of cluster 0.

    `gain` is what training learns: at 0 maps and scores are even, at 1 the maps are the halves and
    cluster 1 sounds. The cluster of a clip is that of its brighter half, plus `shift`, which the
    first refresh sets to 1.
    """

    def __init__(self, config, info, axis_name=None):
        self.config = config

    def init(self, key, batch):
        return {"params": {"gain": jnp.zeros(())}}, {"shift": jnp.zeros((), jnp.int32)}

    def phases(self):
        yield Phase("learn", "train", 1, "localization", None, checkpoint_name="stage_one")
        yield Phase(
            "more",
            "train",
            1,
            "localization",
            None,
            refresh=self.refresh,
            checkpoint_name="stage_two",
        )

    def refresh(self, state: TrainState, scan, key):
        mean = scan(brightness, state, "train")
        assert mean.shape == (8,)
        return state._replace(aux={"shift": jnp.ones((), jnp.int32)})

    def predict(self, variables, aux, batch):
        size = batch.image.shape[1] // CELLS
        bright = (batch.image[:, ::size, ::size, 0] > 128).astype(jnp.float32)
        gain = variables["params"]["gain"]
        one = 0.5 + gain * (bright - 0.5)
        cluster = (bright.mean((1, 2)) > 0.4).astype(jnp.int32)
        scores = jnp.tile(0.5 + gain * jnp.array([-0.2, 0.2]), (len(batch.image), 1))
        found = (cluster + aux["shift"]) % 2
        maps = jnp.stack([1 - one, one], -1) * scores[:, None, None]
        return Prediction(maps, scores, scores, one, found)


def brightness(variables, aux, batch):
    return batch.image.astype(jnp.float32).mean((1, 2, 3))


def record(number, bright, objects, video=None):
    """A picture whose left and right halves are bright or not; no box is a sound off screen."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16], image[:, 16:] = (np.uint8(255 * b) for b in bright)
    boxes, labels, sounding = zip(*objects, strict=True)
    offscreen = [box is None for box in boxes]
    return {
        "id": f"item {number}".encode(),
        "video": f"video {number if video is None else video}".encode(),
        "frames": np.stack([image] * 3),
        "waveform": np.zeros(16000, np.int16),
        "objects": {
            "bbox": np.array([box or (0, 0, 0, 0) for box in boxes], np.float32),
            "label": np.array(labels),
            "sounding": np.array(sounding),
            "offscreen": np.array(offscreen),
            "level_db": np.zeros(len(boxes), np.float32),
        },
    }


def clips(count, flipped=False, boxed=True, known=True):
    """Every second one bright on its left, which is where the object is: a drum, unless flipped."""
    place = LEFT if boxed else (0, 0, 0, 0)
    return [
        record(i, (i % 2, 0), [(place, ((i + flipped) % 2) if known else -1, True)])
        for i in range(count)
    ]


def scenes(count):
    """A silent bell on the dark left, a drum that sounds on the bright right."""
    return [record(i, (0, 1), [(LEFT, 0, False), (RIGHT, 1, True)]) for i in range(count)]


def wild_scenes(count):
    """A drum that sounds on the bright right; a bell that is heard and not seen."""
    return [record(i, (0, 1), [(RIGHT, 1, True), (None, 0, True)]) for i in range(count)]


def everything():
    # Clips of the test split bear the other label, so that names fitted on it would show.
    return {"train": clips(8), "test": clips(6, flipped=True), "cocktail_test": scenes(5)}
