"""CSOL on MUSIC's duets: one more epoch of stage two, as in the published code.

Command: `avloc train --config configs/csol_duets.py --workdir runs/csol_duets`, after
`configs/csol_music.py` was trained in `runs/csol_music`. It goes on from what stage two learnt of
synthetic scenes, as the published code does; the paper does not say which network its figures on
MUSIC-Duet are of, CIoU@0.3 / AUC / NSA of 30.2 / 22.1 / 83.1. With
`--config.init_from=runs/csol_music/stages/stage_one` it starts from single sources.
"""

from ml_collections import ConfigDict

from avloc.configs import csol_music


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = csol_music.get_config()
    with config.unlocked():
        config.init_from = "runs/csol_music/stages/stage_two"
        config.data.stage_two = "duet_train"
        config.data.scene_tests = ("duet_test", "cocktail_test")
        config.stage_two.epochs = 1
    return config
