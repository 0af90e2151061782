"""C2F on SoundNet-Flickr as in the paper: 10,000 pairs, by the pseudo labels of a tagger.

Data: `avloc data build flickr_soundnet --source DIR`, see `docs/datasets.md`; ImageNet weights:
`avloc import-weights FILE --out weights/resnet18`. `labels.file` has 7 scores for each video, those
of AudioSet's first level: the largest of its tags'.

Command: `avloc train --config configs/c2f_flickr.py --workdir runs/c2f_flickr`. The paper reports
cIoU@0.5 52.2 and AUC 49.6; a centred box of half the area has 62.2 and 53.7.
"""

from ml_collections import ConfigDict

from avloc.configs.c2f import base, paper


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = paper(base())
    config.data.name = "flickr_soundnet"
    config.data.stage_two = "train"
    config.data.scene_tests = ()
    config.clusters = 7
    config.labels.source = "file"
    config.labels.file = "labels/flickr.json"
    config.evaluation.single_protocol = "c2f-flickr"
    config.lock()
    return config
