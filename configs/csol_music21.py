"""CSOL on MUSIC-21 as in the paper: stage one on solos of 21 instruments.

Data: `avloc data build music21 --source DIR`, see `docs/datasets.md`; ImageNet weights: `avloc
import-weights FILE --out weights/resnet18`, or `--config.init_from=` to start from random ones.

Command: `avloc train --config configs/csol_music21.py --workdir runs/csol_music21`. The paper
reports IoU@0.5 / AUC of 66.1 / 56.4 on single sources, on boxes that are not public: without boxes
clusters are scored alone. About K it only says that it is no less than the number of categories.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "music21"
    # The paper has no scenes of MUSIC-21.
    config.data.scene_tests = ()
    config.stage_two.epochs = 0
    config.clusters = 21
    config.lock()
    return config
