"""IEr on MUSIC-Unconstrained with the paper's settings: ResNet-18 at full width, 20 clusters.

Command: `avloc train --config configs/ier_music.py --workdir runs/ier_music`. It needs a built data
set `music`, whose builder is not part of this version. The paper, from ImageNet weights, reports
IoU@0.5 / AUC of 53.9 / 50.7 on single sources, and CIoU@0.3 / AUC of 47.6 / 29.8 on
MUSIC-Synthetic, 52.9 / 33.8 on MUSIC-Duet and 15.6 / 15.3 on MUSIC-Unconstrained. It says of K only
that it is larger than the 11 categories. Use a GPU or TPU.
"""

from ml_collections import ConfigDict

from configs.ier import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "music"
    config.clusters = 20
    config.lock()
    return config
