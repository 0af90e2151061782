"""IEr on MUSIC-Unconstrained as in the paper: ResNet-18 at full width, 20 clusters.

Data: `avloc data build music --source DIR`, then `avloc data build music_unconstrained`, see
`docs/datasets.md`; ImageNet weights: `avloc import-weights FILE --out weights/resnet18`, or
`--config.init_from=` to start from random ones. Stage one reads `train`, stage two
`cocktail_train`; `test`, `cocktail_test` and `duet_test` are scored.

Command: `avloc train --config configs/ier_music.py --workdir runs/ier_music`. The paper reports
IoU@0.5 / AUC of 53.9 / 50.7 on single sources, and CIoU@0.3 / AUC of 15.6 / 15.3 on
MUSIC-Unconstrained and 52.9 / 33.8 on MUSIC-Duet. About K it only says that it is larger than the
11 categories; where its visual network starts it does not say, here as CSOL's. Use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.ier import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "music+music_unconstrained"
    config.data.stage_two = "cocktail_train"
    config.data.scene_tests = ("cocktail_test", "duet_test")
    config.data.noise_split = "duet_train"
    config.clusters = 20
    config.lock()
    return config
