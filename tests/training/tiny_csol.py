"""CSOL at a size that a test can check by hand."""

from avloc.configs.csol import base
from avloc.training.methods import create
from avloc.types import DatasetInfo

K, N = 3, 12
INFO = DatasetInfo({"train": N, "cocktail_train": N})
HEADS = ("visual_classifier", "audio_classifier")


def changed(config, **fields):
    """The config; `stage_two__kl` sets `config.stage_two.kl`."""
    for name, value in fields.items():
        *parents, leaf = name.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[leaf] = value
    return config


def settings(**fields):
    """The paper's losses on a net of one block; `fields` as in `changed`."""
    config = base()
    config.image_size, config.clusters = 32, K
    config.model.update(dict(width=4, blocks=(0, 0, 0, 1), stem_pool=False, embedding=32))
    config.model.correspondence_bias = True
    return changed(config, **fields)


def method(**fields):
    return create(settings(**fields), INFO)
