"""CSOL table 6: the localization loss, the product with the localization map, the matching loss.

Command: `avloc ablate --config configs/ablations/csol_stage_two.py --workdir runs/csol`.
The paper, MUSIC-Synthetic, CIoU@0.3 of the rows in this order: 0.0, 2.6, 18.0, 32.3.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={
            "L_c": Cell(
                {"stage_two.localization_weight": 0.0, "stage_two.product": False}, "trunk"
            ),
            "L_loc+L_c": Cell({"stage_two.product": False}, "trunk"),
            "L_loc+Prod": Cell({"stage_two.matching_weight": 0.0}, "trunk"),
            "CSOL": CSOL,
        },
        columns=PLACES,
        note="Expected: every part helps, the product most "
        "(CSOL table 6, MUSIC-Synthetic CIoU@0.3: 0.0, 2.6, 18.0, 32.3).",
    )
