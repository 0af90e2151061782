"""Sound-of-Pixels on six-second clips of the embedded data set, on a laptop's CPU.

Command: `avloc train --config configs/sop_toy.py --workdir runs/sop`, after
`pip install 'avloc[pretrained]'` and `avloc data build toy_orchestra/long`.
"""

from ml_collections import ConfigDict

from avloc.configs.sop import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "toy_orchestra/long"
    config.clusters = 10
    small(config)
    config.stored_views = 2
    config.image_size = 128
    # 1.5 s: 64 columns.
    config.sound.update(dict(samples=16383, n_fft=510, rows=64))
    config.lock()
    return config


def small(config: ConfigDict) -> None:
    """Sight that needs no training, a small U-Net, and a few minutes of steps."""
    # As in the paper, sight knows photos before it learns what sounds: here a network that stands
    # still, whose maps are stored once.
    config.init_from = "pretrained"
    config.model.update(
        dict(visual="efficientnet_lite0", frozen=("visual",), standardized=True, width=16)
    )
    config.batch_size = 16
    short(config)


def short(config: ConfigDict) -> None:
    """A U-Net of five levels that starts narrow, by Adam."""
    config.separation.update(
        dict(epochs=0, steps=1200, channels=16, levels=5, width=16, deviation=0.0)
    )
    config.optimizers.separation.learning_rates.default = 2e-3
    del config.optimizers.separation.momentum
    config.optimizers.separation.update(dict(weight_decay=0.0, half_life=150, decay_from=700))
