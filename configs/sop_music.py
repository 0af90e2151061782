"""Sound-of-Pixels on MUSIC as in the paper: ResNet-18, U-Net of seven levels, six-second clips.

Data: `avloc data build music/separation --source DIR`, see `docs/datasets.md`: of each instrument
the first video is for validation, the second for the test. ImageNet weights: `avloc import-weights
FILE --out weights/resnet18`, or `--config.init_from=` to start from random ones.

Command: `avloc train --config configs/sop_music.py --workdir runs/sop_music`. C2F reports SDR / SIR
/ SAR of 7.30 / 11.90 / 11.90 for it on solos. Other than the paper: one picture of a clip in place
of three, and a last stage of stride 1 without dilation.
"""

from ml_collections import ConfigDict

from avloc.configs.sop import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    config.data.name = "music/separation"
    config.clusters = 11
    config.init_from = "weights/resnet18"
    # 100 epochs that each go through the list of solos 100 times; rates fall at 40 and at 80.
    config.separation.steps = 58_500
    config.optimizers.separation.tenth_every = 23_400
    config.lock()
    return config
