"""Every field of a C2F run; the other files change a few of them.

Not an experiment itself: see `c2f_toy.py`, and, as in the paper, `c2f_flickr.py` and
`c2f_audioset.py`. `base` has the paper's networks, losses and lengths; where the paper leaves
something open, those of its simplified code.
"""

from ml_collections import ConfigDict

from avloc.configs import csol


def base() -> ConfigDict:
    """The fields, unlocked, for an experiment's file to fill in. Stage one starts like CSOL's."""
    config = csol.base()
    config.method = "c2f"
    # What is trained: `full`; `multi_task`, no alignment; `avc`, correspondence alone, which gives
    # one map for all classes. The rows of the paper's table 2.
    config.parts = "full"

    config.labels = ConfigDict()
    # `clusters`: those of CSOL's stage one, which comes first, and no label at all; `file`: scores
    # of any tagger; `tags`: what the data set says sounds in a clip, the paper's on AudioSet.
    config.labels.source = "clusters"
    # `file`: JSON or CSV of video id and a score for each class.
    config.labels.file = ""
    # A score above the threshold is a label of `floor + (1 - floor) score`.
    config.labels.threshold = 0.3
    config.labels.floor = 0.6

    # The correspondence branch of sounds: `convolutions`, the paper's; `stage`, the simplified
    # code's, a second last stage of an audio resnet.
    config.model.audio_branch = "convolutions"
    # Widths of the pair classifier and of the projections into the common space.
    config.model.pair_hidden = 128
    config.model.projection = (1024, 128)

    # Stage one of the paper.
    config.multi_task = ConfigDict()
    config.multi_task.epochs = 20
    # Of `config.data`: the splits that both stages learn from, one pass over each in turn.
    config.multi_task.splits = ("stage_one", "stage_two")
    config.multi_task.correspondence_weight = 1.0
    # How the maps of pictures and sounds become one vector each: `mean`, the simplified code's;
    # `max`, the original's.
    config.multi_task.pooling = "mean"
    # Share of views of clips that are shrunk.
    config.multi_task.zoom_out = 0.0

    # Class activation maps: whether `ReLU(W - threshold)` are the weights (the paper does not say),
    # or `W` less its minimum. The original code has a threshold of 0.1 for pictures.
    config.cam = ConfigDict(dict(relu=True, visual_threshold=0.0, audio_threshold=0.0))

    two = config.stage_two = ConfigDict()
    two.epochs = 20
    two.weight = 1.0
    # Not in the paper; 2 in the original code, of distances that are squared means.
    two.margin = 1.4
    # `sum`, the paper's; `means`, the simplified code's: positives and negatives of one weight.
    two.form = "sum"
    # Which classes of a clip are aligned: `predicted` on both sides above the threshold, or
    # `labelled` above it, as the original code does on AudioSet.
    two.valid = "predicted"
    two.valid_threshold = 0.3

    # Maps: `cosine`, not below 0, the simplified code's; `distance`, the original's softmax over
    # cells of `-sharpness D`, over its maximum. `weighted`: times the probability of the class.
    config.localization = ConfigDict(dict(form="cosine", sharpness=1.0, weighted=False))

    for name in ("multi_task", "alignment"):
        config.optimizers[name] = config.optimizers.matching.copy_and_resolve_references()
    del config.optimizers.matching
    config.evaluation.scene_protocol = "levels"
    return config


def paper(config: ConfigDict) -> ConfigDict:
    """What the paper does on its own data, and `base` does not."""
    # ImageNet weights of a ResNet-18: `avloc import-weights FILE --out weights/resnet18`.
    config.init_from = "weights/resnet18"
    config.negatives = "drawn"
    config.image_size = 256
    config.batch_size = 16
    config.model.audio = "crnn"
    # 40 ms every 20 ms. The paper's sound is at 22.05 kHz: at 16 kHz nothing above 8 kHz is heard.
    config.model.front_end = "coarse"
    # 1e-3, backbones 1e-4; a tenth of that behind 20 epochs, where stage two begins.
    for name, rate in (("multi_task", 1e-3), ("alignment", 1e-4)):
        config.optimizers[name].update(dict(momentum=0.9, weight_decay=5e-4))
        config.optimizers[name].learning_rates = ConfigDict(
            dict(default=rate, visual=rate / 10, audio=rate / 10)
        )
    return config


def from_scratch(config: ConfigDict) -> ConfigDict:
    """The changes for training small networks without ImageNet weights."""
    csol.stage_one_from_scratch(config)
    config.stage_one.mixtures = 0.5
    config.model.audio_branch = "stage"
    config.labels.threshold = 0.2
    config.multi_task.epochs = 1
    config.multi_task.zoom_out = 0.6
    config.stage_two.epochs = 2
    config.stage_two.form = "means"
    config.localization.weighted = True
    for name in ("multi_task", "alignment"):
        config.optimizers[name].learning_rates = ConfigDict(
            dict(default=1e-3, visual=3e-4, audio=3e-4)
        )
    return config
