"""CSOL on VGGSound as in the paper: ResNet-18 at full width, 100 clusters.

Data: `avloc data build vggsound --source DIR`, then `avloc data build vggsound_synthetic`, see
`docs/datasets.md`; ImageNet weights: `avloc import-weights FILE --out weights/resnet18`, or
`--config.init_from=` to start from random ones. Stage one reads `train`, stage two
`cocktail_train`; `test` and `cocktail_test` are scored, on boxes of VGG-SS: the paper's are not
public.

Command: `avloc train --config configs/csol_vggsound.py --workdir runs/csol_vggsound`. The paper
reports IoU@0.5 / AUC of 49.5 / 46.7 on single sources, and CIoU@0.3 / AUC / NSA of 13.4 / 17.9 /
94.1 on VGGSound-Synthetic. A step of 32 pairs takes about 4 s on 2 CPU cores; use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "vggsound+vggsound_synthetic"
    config.clusters = 100
    config.lock()
    return config
