"""IEr on MUSIC-Synthetic as in the paper: scenes without sounds from off screen, 20 clusters.

Data: `avloc data build music --source DIR`, then `avloc data build music_synthetic`; the rest is as
in `configs/ier_music.py`.

Command: `avloc train --config configs/ier_music_synthetic.py --workdir runs/ier_synthetic`. The
paper reports CIoU@0.3 / AUC of 47.6 / 29.8 on MUSIC-Synthetic.
"""

from ml_collections import ConfigDict

from avloc.configs import ier_music


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = ier_music.get_config()
    with config.unlocked():
        config.data.name = "music+music_synthetic"
    return config
