"""CSOL, both stages, on a folder of your own videos, from scratch.

Command: `avloc data build video_folder --source DIR`, then
`avloc train --config csol_folder_scratch --workdir runs/mine`. With several built folders, add
`--config.data.name=video_folder/NAME`. Choose `--config.clusters` at or above the number of kinds
of sounding things that you expect. An epoch of 1,000 clips takes about half a minute on 2 CPU
cores. There is no expected score, because it depends on the videos; `avloc evaluate` prints yours.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, from_scratch


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    medium(config)
    config.stage_two.epochs = 5
    config.lock()
    return config


def medium(config: ConfigDict) -> None:
    """The folder's data, pictures and networks of medium size, and a longer stage one."""
    config.data.name = "video_folder"
    config.image_size = 128
    config.model.width = 32
    config.clusters = 16
    config.stage_one.warmup_epochs = 10
    config.stage_one.epochs = 10
