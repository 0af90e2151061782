"""Every field of a Sound-of-Pixels run; the other files change a few of them.

Not an experiment itself: see `sop_toy.py` and, as in the paper, `sop_music.py`. `base` has the
values of the paper's own run (`train_MUSIC.sh`), which are not the defaults of its code.
"""

from ml_collections import ConfigDict

from avloc.configs import csol


def base() -> ConfigDict:
    """The fields, unlocked, for an experiment's file to fill in."""
    config = csol.base()
    config.method = "sop"
    config.stage_two.epochs = 0
    config.batch_size = 80

    # The sound as the network hears it: 6 s at 11,025 Hz give 256 columns.
    config.sound = ConfigDict()
    config.sound.sample_rate = 11025
    config.sound.samples = 65535
    config.sound.n_fft = 1022
    config.sound.hop = 256
    # Rows of log frequency.
    config.sound.rows = 256

    config.separation = ConfigDict()
    config.separation.epochs = 0
    # At least so many steps, whatever the size of the split.
    config.separation.steps = 0
    # Clips of a mixture, and the range of their gains.
    config.separation.sources = 2
    config.separation.gain = (0.5, 1.5)
    # `binary`, learnt by cross-entropy, or `ratio`, by the absolute difference.
    config.separation.mask = "binary"
    # Whether loud cells count more.
    config.separation.weighted = True
    # K, channels of a guide and of the U-Net's output; the U-Net's halvings, the channels of its
    # first level, and the deviation of its first weights (0: He et al.'s).
    config.separation.channels = 32
    config.separation.levels = 7
    config.separation.width = 64
    config.separation.deviation = 0.001

    # SGD, where `momentum` is there; the paper's rates fall to a tenth twice.
    config.optimizers = ConfigDict()
    config.optimizers.separation = ConfigDict(
        dict(
            learning_rates=ConfigDict(dict(default=1e-3, visual=1e-4)),
            momentum=0.9,
            weight_decay=1e-4,
            clip_norm=0.0,
            tenth_every=0,
            half_life=0,
            decay_from=0,
        )
    )
    return config
