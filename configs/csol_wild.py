"""CSOL, both stages, on the embedded scenes in the wild: silent objects, sound from off screen.

Command: `avloc train --config configs/csol_wild.py --workdir runs/csol_wild`, after `avloc data
build toy_orchestra/wild`. One run, of seed 0 and with `stage_one.zoom_out` 0.4: CIoU@0.3 of 38.0 on
scenes of 2 sounding, 2 silent and 1 off-screen source.
"""

from ml_collections import ConfigDict

from avloc.configs import csol_toy


def get_config() -> ConfigDict:
    """The configuration, locked."""
    config = csol_toy.get_config()
    with config.unlocked():
        in_the_wild(config)
    return config


def in_the_wild(config: ConfigDict) -> None:
    """The scenes of `toy_orchestra/wild`."""
    config.data.name = "toy_orchestra/wild"
    config.data.stage_two = "wild_train"
    config.data.scene_tests = (
        "cocktail_test",
        "wild_test_2_2_1",
        "wild_test_3_3_2",
        "wild_test_4_4_3",
        "uneven_test",
    )
    config.evaluation.keep_aspect = True
    config.clusters = 12
    config.stage_one.zoom_out = 0.6
