"""IEr, whole, on the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/ier_toy.py --workdir runs/ier` (or `make demo METHOD=ier`).
Mean of three seeds: single sources IoU@0.5 78.2; scenes of 2 sounding, 2 silent and 1 off-screen
source CIoU@0.3 62.1, AUROC 0.91.
"""

from ml_collections import ConfigDict

from configs.csol import stage_one_from_scratch
from configs.csol_toy import small
from configs.csol_wild import in_the_wild
from configs.ier import IDENTIFIER, base, still


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    stage_one_from_scratch(config)
    small(config)
    in_the_wild(config)
    config.prototypes.similarity = "centred_cosine"
    config.identifier.middle = 128
    config.identification.epochs = 5
    config.identification.zoom_out = 0.8
    config.identification.gain_db = 6.0
    config.identification.localization_weight = 1.0
    config.stage_two.epochs = 1
    config.stage_two.localization_weight = 0.2
    config.stage_two.visual_scale = 10.0
    config.stage_two.audio_scale = 4.0
    config.optimizers.identification.learning_rates.update(default=1e-3, correspondence=1e-3)
    config.optimizers.referral.learning_rates.default = 3e-4
    # The audio network has learnt to hear mixtures, and stands still: scenes are learnt from it.
    still(config.optimizers.referral, ("audio", *IDENTIFIER))
    config.lock()
    return config
