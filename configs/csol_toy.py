"""CSOL, both stages, on the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/csol_toy.py --workdir runs/demo` (or `make demo`).
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, from_scratch


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    small(config)
    config.data.name = "toy_orchestra"
    config.clusters = 10
    config.stage_one.mixtures_after = 4
    config.stage_two.epochs = 2
    # Makes the result depend less on where stage two ends.
    config.optimizers.matching.update(dict(decay_from=200, half_life=60))
    config.lock()
    return config


def small(config: ConfigDict) -> None:
    """Pictures, networks and a stage one that take a few minutes on two cores."""
    config.image_size = 96
    config.model.width = 16
    config.model.blocks = (1, 1, 1, 1)
    config.stage_one.warmup_epochs = 5
    config.stage_one.epochs = 7
