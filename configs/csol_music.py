"""CSOL on MUSIC as in the paper: ResNet-18 at full width, 11 clusters.

Data: `avloc data build music --source DIR`, then `avloc data build music_synthetic`, see
`docs/datasets.md`; ImageNet weights: `avloc import-weights FILE --out weights/resnet18`, or
`--config.init_from=` to start from random ones. Stage one reads `train`, stage two
`cocktail_train`; `test`, `cocktail_test` and `duet_test` are scored.

Command: `avloc train --config configs/csol_music.py --workdir runs/csol_music`. The paper reports
IoU@0.5 / AUC of 51.4 / 43.6 on single sources, and CIoU@0.3 / AUC / NSA of 32.3 / 23.5 / 98.5 on
MUSIC-Synthetic and 30.2 / 22.1 / 83.1 on MUSIC-Duet. `csol_duets.py` goes on with duets.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    on_music(config)
    config.lock()
    return config


def on_music(config: ConfigDict) -> None:
    """MUSIC and the scenes made of it, which CSOL and DSOL share."""
    config.data.name = "music+music_synthetic"
    config.data.scene_tests = ("cocktail_test", "duet_test")
    # Noise among the clips is of duets (CSOL table 8).
    config.data.noise_split = "duet_train"
    config.clusters = 11
