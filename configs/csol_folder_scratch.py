"""CSOL, both stages, on a folder of your own videos, from scratch.

Command: `avloc data build video_folder --source DIR`, then
`avloc train --config csol_folder_scratch --workdir runs/mine`. With several built folders, add
`--config.data.name=video_folder/NAME`. Choose `--config.clusters` at or above the number of kinds
of sounding things that you expect. An epoch of 1,000 clips takes about half a minute on 2 CPU
cores. There is no expected score, because it depends on the videos; `avloc evaluate` prints yours.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, from_scratch
from avloc.configs.csol_folder import hear, small_data


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    medium(config)
    hear(config)
    config.stage_two.epochs = 5
    config.lock()
    return config


def medium(config: ConfigDict) -> None:
    """The folder's data, pictures and networks of medium size, and a longer stage one."""
    small_data(config)
    config.image_size = 128
    config.model.width = 32
    config.model.blocks = (1, 1, 1, 1)
    config.stage_one.update(dict(warmup_epochs=10, warmup_steps=1000, epochs=0, mixtures=0.0))
    config.evaluation.scene_size = 256
