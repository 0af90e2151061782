"""IEr on VGG-Unconstrained with the paper's settings: ResNet-18 at full width, 100 clusters.

Command: `avloc train --config configs/ier_vggsound.py --workdir runs/ier_vggsound`. It needs a
built data set `vggsound`, whose builder is not part of this version. The paper, from ImageNet
weights, reports IoU@0.5 / AUC of 51.3 / 46.9 on single sources, and CIoU@0.3 / AUC of 12.8 / 17.6
on VGG-Unconstrained. It says of K only that it is larger than the 98 categories. Use a GPU or TPU.
"""

from ml_collections import ConfigDict

from configs.ier import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "vggsound"
    config.clusters = 100
    config.lock()
    return config
