"""`vggsound_synthetic`: scenes of four clips of VGGSound, two of them heard."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.scenes import ScenesBuilder
from avloc.data_pipelines.scenes.plan import SceneSplit


class Builder(ScenesBuilder):
    """VGGSound-Synthetic (CSOL 4.1): two of four clips of different categories are heard.

    The authors' boxes of the test clips are not public. Where `vggsound` was built with those of
    VGG-SS, test scenes are of clips that have one; else an object's box is its cell.
    """

    VERSION = tfds.core.Version("1.2.0")
    SCENES = {  # noqa: RUF012
        "cocktail_train": SceneSplit("synthesis", "2_2_0", 40_000, any_frame=True),
        "cocktail_test": SceneSplit("test", "2_2_0", 500, placed=True),
    }
