"""DSOL on MUSIC with the paper's settings: ResNet-18 at full width, 11 clusters, hard masks.

Command: `avloc train --config configs/dsol_music.py --workdir runs/dsol_music`. It needs a built
data set `music`, whose builder is not part of this version. The paper starts from ImageNet weights
and reports IoU@0.5 / AUC of 51.4 / 43.6 on single sources, and CIoU@0.3 / AUC / NSA of
32.3 / 23.5 / 98.5 on MUSIC-Synthetic; from scratch it reports 25.0 IoU@0.5 and 7.8 CIoU@0.3.
A step of 32 pairs takes about 4 s on 2 CPU cores; use a GPU or TPU.
"""

from ml_collections import ConfigDict

from configs.csol import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "music"
    config.clusters = 11
    config.representation = "mask"
    config.lock()
    return config
