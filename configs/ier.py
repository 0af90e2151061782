"""Every field of an IEr run; the other files change a few of them.

Not an experiment itself: see `ier_toy.py` and `ier_folder.py`; and, as in the paper,
`ier_music.py`, `ier_music_synthetic.py` and `ier_vggsound.py`. `base` has the paper's networks,
losses and lengths, and CSOL's where the paper gives none; `paper` sets the rest as it does.
"""

from collections.abc import Iterable

from ml_collections import ConfigDict

from avloc.configs import csol

IDENTIFIER = ("identifier", "presence_scale", "presence_bias")
CLASSIFIERS = ("visual_classifier", "audio_classifier")


def base() -> ConfigDict:
    """The fields, unlocked, for an experiment's file to fill in. Stage one starts like CSOL's."""
    config = csol.base()
    config.method = "ier"
    config.data.stage_two = "unconstrained_train"
    config.data.scene_tests = ("synthetic_test", "unconstrained_test")

    config.prototypes = ConfigDict()
    # Of features and prototypes: `cosine`, the paper's; `centred_cosine`, about the mean feature.
    config.prototypes.similarity = "cosine"
    # A cosine as probability, which the paper leaves open: `sigmoid` with learned scale and bias,
    # or `clip`, the cosine clipped to 0..1.
    config.prototypes.probability = "sigmoid"

    # The Audio-Instance-Identifier's network.
    config.identifier = ConfigDict()
    # `per_class`: the paper's matrix for each cluster; `factored`: one matrix for all and a vector
    # for each, for more than about 200 clusters; `none`: no steps.
    config.identifier.steps = "per_class"
    config.identifier.middle = 512
    config.identifier.rank = 128
    # First values of the probability's scale and bias.
    config.identifier.scale = 10.0
    config.identifier.bias = -5.0

    # Its training; pairs are the values of the first and the last epoch.
    config.identification = ConfigDict()
    config.identification.epochs = 15
    # Share of mixtures, and the number of clips in one.
    config.identification.share = (0.5, 0.9)
    config.identification.sources = (2, 4)
    # How both rise: `batches`, with every batch, each number of clips for an equal part of the way;
    # `epochs`, so once an epoch; `rounded`, once an epoch, the number rounded to the nearest.
    config.identification.curriculum = "rounded"
    # Mixtures are of `exactly` that number, or of 2 and more `up_to` it.
    config.identification.count = "up_to"
    # Clips of a mixture get gains of up to this many dB either way. The paper averages them
    # unchanged.
    config.identification.gain_db = 0.0
    # Whether clips are brought to one level before these gains.
    config.identification.levelled = False
    # At least so many steps, all epochs together; passes over the split are repeated within each.
    config.identification.steps = 0
    # Share of views that are shrunk, as in stage one.
    config.identification.zoom_out = 0.0
    # Weight of the correspondence of whole sounds, which goes on; the paper has none.
    config.identification.correspondence_weight = 0.0
    # Weight of the correspondence of each source's own feature; the paper has none.
    config.identification.localization_weight = 0.0

    two = config.stage_two = ConfigDict()
    two.epochs = 5
    two.localization_weight = 0.5
    two.silent_filter = True
    # Whether maps are multiplied by `l` of the whole sound and by the root of `p^a` too, after
    # training; not in the paper.
    two.heard_filter = False
    two.offscreen_filter = True
    # See `avloc.losses.visible_share`; the threshold is that of the first three rules.
    two.mask_rule = "batch_mean"
    two.mask_threshold = 0.5
    # Factors before the softmax of vision and of audio.
    two.visual_scale = 1.0
    two.audio_scale = 1.0
    # `soft`: each distribution is the other's target, without gradient; `both`: with.
    two.targets = "soft"

    for name in ("identification", "referral"):
        config.optimizers[name] = config.optimizers.matching.copy_and_resolve_references()
    del config.optimizers.matching
    # What a phase is not to learn stands still, also where its loss reaches it.
    for name in ("localization", "classification"):
        still(config.optimizers[name], IDENTIFIER)
    still(config.optimizers.identification, ("visual", "correspondence", *CLASSIFIERS))
    still(config.optimizers.referral, CLASSIFIERS)
    return config


def paper(config: ConfigDict) -> ConfigDict:
    """What the paper does on its own data, and `base` does not."""
    csol.paper(config)
    # "According to its training progress in a batch", and "evenly" (IEr F).
    config.identification.curriculum = "batches"
    config.identification.count = "exactly"
    # Pictures are cropped in the middle (IEr 4.1).
    config.evaluation.centre_crop = True
    # Clusters are named by majority (IEr D); the threshold is not in the paper: CSOL's code.
    config.evaluation.single_protocol = "ier-solo"
    config.evaluation.scene_protocol = "ier"
    return config


def from_scratch(config: ConfigDict) -> ConfigDict:
    """The changes for training small networks without ImageNet weights."""
    csol.stage_one_from_scratch(config)
    config.prototypes.similarity = "centred_cosine"
    config.identification.epochs = 5
    config.identification.zoom_out = 0.8
    config.identification.gain_db = 6.0
    config.identification.localization_weight = 1.0
    config.stage_two.localization_weight = 0.2
    config.stage_two.visual_scale = 10.0
    config.stage_two.audio_scale = 4.0
    config.optimizers.identification.learning_rates.update(default=1e-3, correspondence=1e-3)
    config.optimizers.referral.learning_rates.default = 3e-4
    # The audio network has learned to hear mixtures and is frozen; scenes are learned from it.
    still(config.optimizers.referral, ("audio", *IDENTIFIER))
    return config


def still(optimizer: ConfigDict, modules: Iterable[str]) -> None:
    """Gives these modules the rate 0."""
    optimizer.learning_rates.update(dict.fromkeys(modules, 0.0))
