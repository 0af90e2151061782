"""IEr, all stages, on a folder of your own videos, from scratch.

Command: `avloc data build video_folder --source DIR`, then
`avloc train --config ier_folder_scratch --workdir runs/mine_ier`. With several built folders,
add `--config.data.name=video_folder/NAME`. Choose `--config.clusters` at or above the number of
kinds of sounding things that you expect. There is no expected score, because it depends on the
videos; `avloc evaluate` prints yours.
"""

from ml_collections import ConfigDict

from avloc.configs.csol_folder_scratch import medium
from avloc.configs.ier import base, from_scratch


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = from_scratch(base())
    medium(config)
    config.data.stage_two = "cocktail_train"
    config.data.scene_tests = ("cocktail_test",)
    config.identifier.middle = 256
    config.stage_two.epochs = 2
    config.lock()
    return config
