"""DSOL on MUSIC with the paper's settings: ResNet-18 at full width, 11 clusters, hard masks.

Data: `avloc data build music --source DIR`, then `avloc data build music_synthetic`, see
`docs/datasets.md`. Stage one reads `train`, stage two `cocktail_train`; `test`, `cocktail_test` and
`duet_test` are scored.

Command: `avloc train --config configs/dsol_music.py --workdir runs/dsol_music`. The paper starts
from ImageNet weights (`--config.init_from`, see there) and reports IoU@0.5 / AUC of 51.4 / 43.6 on
single sources, and CIoU@0.3 / AUC / NSA of 32.3 / 23.5 / 98.5 on MUSIC-Synthetic and 30.2 / 22.1 /
83.1 on MUSIC-Duet; from scratch it reports 25.0 IoU@0.5 and 7.8 CIoU@0.3. A step of 32 pairs takes
about 4 s on 2 CPU cores; use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "music+music_synthetic"
    config.data.scene_tests = ("cocktail_test", "duet_test")
    config.evaluation.split_protocols.duet_test = "dsol-duet"
    config.clusters = 11
    config.representation = "mask"
    config.lock()
    return config
