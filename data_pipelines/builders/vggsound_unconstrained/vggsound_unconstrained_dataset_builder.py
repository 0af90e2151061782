"""`vggsound_unconstrained`: scenes of VGGSound's clips with silent objects and sound off screen."""

from __future__ import annotations

import tensorflow_datasets as tfds

from avloc.data_pipelines.builders.scenes import ScenesBuilder
from avloc.data_pipelines.scenes.plan import SceneSplit


class Builder(ScenesBuilder):
    """VGG-Unconstrained (IEr 4.1), and the harder levels of IEr's supplement, table 9.

    Two of four clips of different categories are heard, and a fifth from off screen; at the harder
    levels three of six and two from off screen, four of eight and three. The paper does not give
    the number of scenes; these are VGGSound-Synthetic's, and boxes are as there.
    """

    VERSION = tfds.core.Version("1.2.0")
    SCENES = {  # noqa: RUF012
        "cocktail_train": SceneSplit("synthesis", "2_2_1", 40_000, any_frame=True),
        "cocktail_test": SceneSplit("test", "2_2_1", 500, placed=True),
        "cocktail_test_3_3_2": SceneSplit("test", "3_3_2", 500, placed=True),
        "cocktail_test_4_4_3": SceneSplit("test", "4_4_3", 500, placed=True),
    }
