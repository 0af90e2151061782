"""Sound-of-Pixels on six-second clips of the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/sop_toy.py --workdir runs/sop` (after
`avloc data build toy_orchestra/long`).
"""

from ml_collections import ConfigDict

from avloc.configs.sop import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "toy_orchestra/long"
    config.clusters = 10
    config.image_size = 96
    config.batch_size = 16
    config.model.width = 16
    config.model.blocks = (1, 1, 1, 1)
    config.model.stem_pool = False
    # 1.5 s: 64 columns.
    config.sound.update(dict(samples=16383, rows=128))
    config.separation.update(
        dict(epochs=0, steps=1400, channels=16, levels=5, width=16, deviation=0.0)
    )
    config.optimizers.separation.learning_rates.update(dict(default=2e-3, visual=1e-3))
    config.optimizers.separation.update(dict(weight_decay=0.0, half_life=200, decay_from=800))
    config.lock()
    return config
