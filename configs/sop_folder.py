"""Sound-of-Pixels on a folder of your own videos: hear one of the things that sound alone.

Command: `avloc train --config sop_folder --workdir runs/apart --config.data.name=video_folder/mine
--config.clusters=12`, after `pip install 'avloc[pretrained]'` and `avloc data build video_folder
--source mine`; then `avloc separate`. See `docs/separation.md`.
"""

from ml_collections import ConfigDict

from avloc.configs.sop import base
from avloc.configs.sop_toy import small


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    small(config)
    config.data.name = "video_folder"
    config.data.validation = "validation"
    config.clusters = 16
    config.kmeans.restarts = 10
    config.stored_views = 4
    config.image_size = 224
    config.evaluation.scene_size = 448
    config.evaluation.single_protocol = "half-maximum"
    # Clips of one second: 64 columns.
    config.sound.update(dict(samples=10837, n_fft=510, hop=172, rows=64))
    config.lock()
    return config
