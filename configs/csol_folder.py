"""CSOL on a folder of your own videos, with a visual network that knows photos already.

Command: `pip install 'avloc[pretrained]'`, `avloc data build video_folder --source DIR`, then
`avloc train --config csol_folder --workdir runs/mine`. With several built folders, add
`--config.data.name=video_folder/NAME`. Choose `--config.clusters` at or above the number of kinds
of sounding things that you expect. EfficientNet-Lite0 stands still, and its maps are stored once
beside the data set; what is learnt is to hear, to match, and to tell kinds apart. Without
pretrained weights: `csol_folder_scratch.py`.
"""

from ml_collections import ConfigDict

from avloc.configs.csol import base


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = base()
    pretrained(config)
    # Sight is not trained on scenes: frozen features of 2x2 scenes at twice the size are those of
    # clips, and the networks have learnt to hear several kinds in `hearing`.
    config.stage_two.epochs = 0
    config.stage_two.similarity = "centred_cosine"
    config.stage_two.maps = "heard"
    hear(config)
    config.lock()
    return config


def hear(config: ConfigDict) -> None:
    """A last phase of stage one on mixtures of up to three kinds."""
    config.hearing.update(
        dict(epochs=5, steps=900, share=0.8, sources=3, gain_db=6.0, localization_weight=1.0)
    )
    config.optimizers.hearing.update(dict(decay_from=450, half_life=120))
    config.optimizers.hearing.learning_rates.update(
        dict(default=1e-3, audio=4e-3, audio_classifier=4e-3)
    )


def pretrained(config: ConfigDict) -> None:
    """The folder's data, frozen EfficientNet-Lite0, a small audio network, and a short stage one.

    Chosen on real photos and sounds, 24 kinds with 12 videos each: docs/own_videos.md.
    """
    config.init_from = "pretrained"
    config.stored_views = 4
    small_data(config)
    config.model.update(
        dict(
            visual="efficientnet_lite0",
            frozen=("visual",),
            standardized=True,
            visual_layers=1,
            width=16,
            blocks=(1, 1, 1, 1),
            # Sharper maps from the start, because a short run changes the scale little.
            correspondence_scale=8.0,
            correspondence_bias=True,
        )
    )
    config.warmup.update(dict(bce=0.0, info_nce=1.0, pooling="log_mean_exp", sharpness=20.0))
    config.correspondence.update(dict(bce=0.0, info_nce=1.0, pooling="log_mean_exp"))
    config.stage_one.update(dict(warmup_epochs=5, warmup_steps=400, epochs=0))
    config.optimizers.localization.learning_rates = ConfigDict(dict(default=1e-3, audio=4e-3))
    config.evaluation.scene_size = 448


def small_data(config: ConfigDict) -> None:
    """What helps on a few hundred clips, with pretrained weights or without."""
    config.data.name = "video_folder"
    config.data.validation = "validation"
    config.clusters = 16
    config.model.front_end = "fine"
    config.sound_views.update(dict(offset=True, semitones=2.0, hiss_db=20.0))
    config.kmeans.restarts = 10
    config.representation_sound = 1.0
    config.stage_one.patience = 3
    config.evaluation.single_protocol = "half-maximum"
