"""IEr, all stages, on the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/ier_toy.py --workdir runs/ier` (or `make demo METHOD=ier`).
Mean of three seeds: single sources IoU@0.5 78.5; scenes of 2 sounding, 2 silent and 1 off-screen
source CIoU@0.3 61.9, AUROC 0.91.
"""

from ml_collections import ConfigDict

from avloc.configs.csol_toy import small
from avloc.configs.csol_wild import in_the_wild
from avloc.configs.ier import base, from_scratch


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    small(config)
    in_the_wild(config)
    config.identifier.middle = 128
    config.stage_two.epochs = 1
    config.lock()
    return config
