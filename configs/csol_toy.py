"""CSOL, both stages, on the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/csol_toy.py --workdir runs/demo` (or `make demo`).
"""

from ml_collections import ConfigDict

from configs.csol import base, from_scratch


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    config.data.name = "toy_orchestra"
    config.image_size = 96
    config.model.width = 16
    config.model.blocks = (1, 1, 1, 1)
    config.clusters = 10
    config.stage_one.warmup_epochs = 5
    config.stage_one.epochs = 6
    config.stage_one.mixtures_after = 3
    config.stage_two.epochs = 3
    # Rates fall in the last quarter of each stage, so that results depend less on where it ends.
    config.optimizers.localization.update(dict(decay_from=520, half_life=80))
    config.optimizers.matching.update(dict(decay_from=250, half_life=60))
    config.lock()
    return config
