"""IEr on VGG-Unconstrained as in the paper: ResNet-18 at full width, 100 clusters.

Data: `avloc data build vggsound --source DIR`, then `avloc data build vggsound_unconstrained`, see
`docs/datasets.md`; ImageNet weights: `avloc import-weights FILE --out weights/resnet18`, or
`--config.init_from=` to start from random ones. Stage one reads `train`, stage two
`cocktail_train`; `test`, `cocktail_test` and the harder levels are scored, on boxes of VGG-SS: the
paper's are not public.

Command: `avloc train --config configs/ier_vggsound.py --workdir runs/ier_vggsound`. The paper
reports IoU@0.5 / AUC of 51.3 / 46.9 on single sources, and CIoU@0.3 / AUC of 12.8 / 17.6 on
VGG-Unconstrained. About K it only says that it is larger than the 98 categories; where its visual
network starts it does not say, here as CSOL's. Use a GPU or TPU.
"""

from ml_collections import ConfigDict

from avloc.configs.ier import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "vggsound+vggsound_unconstrained"
    config.data.stage_two = "cocktail_train"
    config.data.scene_tests = ("cocktail_test", "cocktail_test_3_3_2", "cocktail_test_4_4_3")
    config.clusters = 100
    config.lock()
    return config
