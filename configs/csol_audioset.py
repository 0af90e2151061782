"""CSOL on AudioSet-instrument as in the paper: clips of one instrument, then of several.

Data: `avloc data build audioset_instrument --source DIR`, see `docs/datasets.md`; ImageNet weights:
`avloc import-weights FILE --out weights/resnet18`, or `--config.init_from=` to start from random
ones (DSOL finds that this does well here). Stage one reads `train`, stage two `multi_train`; `test`
and `multi_test` are scored.

Command: `avloc train --config configs/csol_audioset.py --workdir runs/csol_audioset`. The paper
reports IoU@0.5 / AUC of 38.9 / 40.9 on single sources, and CIoU@0.3 / AUC / NSA of 48.7 / 29.7 /
56.8 on clips of several. About K it only says that it is no less than the number of categories.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "audioset_instrument"
    config.data.stage_two = "multi_train"
    config.data.scene_tests = ("multi_test",)
    config.clusters = 15
    config.lock()
    return config
