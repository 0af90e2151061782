"""IEr on a folder of your own videos, with a visual network that knows photos already.

Command: `pip install 'avloc[pretrained]'`, `avloc data build video_folder --source DIR`, then
`avloc train --config ier_folder --workdir runs/mine_ier`. With several built folders, add
`--config.data.name=video_folder/NAME`. Choose `--config.clusters` at or above the number of kinds
of sounding things that you expect. Without pretrained weights: `ier_folder_scratch.py`.
"""

from ml_collections import ConfigDict

from avloc.configs.csol_folder import pretrained
from avloc.configs.ier import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    pretrained(config)
    config.data.stage_two = "cocktail_train"
    config.data.scene_tests = ("cocktail_test",)
    config.prototypes.similarity = "centred_cosine"
    config.identifier.middle = 256
    config.identification.update(
        dict(
            epochs=5,
            steps=1300,
            share=(0.8, 0.8),
            sources=(3, 3),
            gain_db=6.0,
            levelled=True,
            correspondence_weight=1.0,
        )
    )
    config.optimizers.identification.update(dict(decay_from=650, half_life=150))
    config.optimizers.identification.learning_rates.update(
        default=4e-3, correspondence=1e-3, presence_scale=1e-3, presence_bias=1e-3
    )
    config.stage_two.epochs = 0
    # Maps are what is seen to sound, times what is heard: no `l(f, F_k)` is trained.
    config.stage_two.silent_filter = False
    config.stage_two.heard_filter = True
    # Of sigmoids, where CSOL's softmax shares 1 among all that is heard.
    config.inference.sounding = 0.4
    config.lock()
    return config
