"""C2F without a label, on the embedded scenes in the wild, from scratch on a laptop's CPU.

Command: `avloc train --config configs/c2f_toy.py --workdir runs/c2f`, after `avloc data build
toy_orchestra/wild`.
"""

from ml_collections import ConfigDict

from avloc.configs.c2f import base, from_scratch
from avloc.configs.csol_toy import small
from avloc.configs.csol_wild import in_the_wild


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    small(config)
    in_the_wild(config)
    config.stage_one.mixtures_after = 4
    # Level 1: the class-aware score of single clips, as of scenes.
    config.evaluation.split_protocols.test = "levels"
    config.model.projection = (256, 64)
    config.lock()
    return config
