"""DSOL on MUSIC as in the paper: ResNet-18 at full width, 11 clusters, hard masks.

Data: `avloc data build music --source DIR`, then `avloc data build music_synthetic`, see
`docs/datasets.md`; ImageNet weights: `avloc import-weights FILE --out weights/resnet18`, or
`--config.init_from=` to start from random ones. Stage one reads `train`, stage two
`cocktail_train`; `test`, `cocktail_test` and `duet_test` are scored.

Command: `avloc train --config configs/dsol_music.py --workdir runs/dsol_music`. The paper reports
IoU@0.5 / AUC of 51.4 / 43.6 on single sources, and CIoU@0.3 / AUC / NSA of 32.3 / 23.5 / 98.5 on
MUSIC-Synthetic and 30.2 / 22.1 / 83.1 on MUSIC-Duet; from scratch it reports 25.0 IoU@0.5 and 7.8
CIoU@0.3. A step of 32 pairs takes about 4 s on 2 CPU cores; use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, paper
from avloc.configs.csol_music import on_music


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    on_music(config)
    config.representation = "mask"
    config.lock()
    return config
