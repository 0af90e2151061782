"""CSOL, both stages, on the embedded data set, from scratch on a laptop's CPU.

Command: `avloc train --config configs/csol_toy.py --workdir runs/demo` (or `make demo`).
"""

from ml_collections import ConfigDict

from configs.csol import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "toy_orchestra"
    config.image_size = 96
    config.zoom_out = 0.5
    config.model.width = 16
    config.model.blocks = (1, 1, 1, 1)
    config.model.stem_pool = False
    config.model.correspondence_bias = True
    config.clusters = 10

    config.warmup.update(dict(bce=0.0, info_nce=1.0, pooling="log_mean_exp"))
    config.correspondence.update(dict(bce=1.0, info_nce=1.0, pooling="log_mean_exp"))
    config.stage_one.warmup_epochs = 8
    config.stage_one.epochs = 4
    config.stage_one.classification_after = 0
    config.stage_one.classification_passes = 1
    config.stage_two.epochs = 4
    config.stage_two.similarity = "centred_cosine"
    config.stage_two.scale = 20.0

    config.optimizers.localization.learning_rates.default = 1e-3
    config.optimizers.classification.learning_rates.update(
        dict(default=1e-4, visual_classifier=1e-3, audio_classifier=1e-3)
    )
    config.optimizers.matching.learning_rates.default = 3e-4
    config.lock()
    return config
