"""C2F on AudioSet-instrument as in the paper: tags of clips, and frames of three difficulty levels.

Data: `avloc data build audioset_instrument/all_boxes --source DIR`, see `docs/datasets.md`: its
`test` has all frames, those of `multi_test` too, and every box counts as sounding (4,273 frames of
one category, 211 of two, 19 of three). ImageNet weights: `avloc import-weights FILE --out
weights/resnet18`.

Command: `avloc train --config configs/c2f_audioset.py --workdir runs/c2f_audioset`. The paper
reports cIoU_class@0.5 / AUC of 32.8 / 38.3 and 6.16 / 23.9 on levels 1 and 2, and cIoU_class@0.3 /
AUC of 21.1 / 22.0 on level 3.
"""

from ml_collections import ConfigDict

from avloc.configs.c2f import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "audioset_instrument/all_boxes"
    config.data.stage_two = "multi_train"
    config.data.scene_tests = ("test",)
    config.clusters = 15
    config.labels.source = "tags"
    config.stage_two.valid = "labelled"
    config.evaluation.scene_protocol = "c2f-levels"
    config.lock()
    return config
