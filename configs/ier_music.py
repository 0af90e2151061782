"""IEr on MUSIC-Unconstrained with the paper's settings: ResNet-18 at full width, 20 clusters.

Data: `avloc data build music --source DIR`, then `avloc data build music_unconstrained`, see
`docs/datasets.md`. Stage one reads `train`, stage two `cocktail_train`; `test`, `cocktail_test` and
`duet_test` are scored.

Command: `avloc train --config configs/ier_music.py --workdir runs/ier_music`. The paper, from
ImageNet weights (`--config.init_from`, see there), reports IoU@0.5 / AUC of 53.9 / 50.7 on single
sources, and CIoU@0.3 / AUC of 15.6 / 15.3 on MUSIC-Unconstrained, 52.9 / 33.8 on MUSIC-Duet and
47.6 / 29.8 on MUSIC-Synthetic (`--config.data.name=music+music_synthetic`). About K it only says
that it is larger than the 11 categories. Use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.ier import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "music+music_unconstrained"
    config.data.stage_two = "cocktail_train"
    config.data.scene_tests = ("cocktail_test", "duet_test")
    config.evaluation.split_protocols.duet_test = "dsol-duet"
    config.clusters = 20
    config.lock()
    return config
