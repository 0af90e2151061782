"""Lambda, the weight of the localization loss in stage two.

Command: `avloc ablate --config configs/ablations/csol_lambda.py --workdir runs/csol`.
The paper, lambda 0.3, 0.5, 0.8, 1.0, 1.5: MUSIC-Synthetic CIoU@0.3 11.0, 32.3, 27.9, 28.6, 13.2.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    weights = (0.1, 0.3, 0.8, 1.0, 1.5)
    cells = {
        f"lambda_{weight}": Cell({"stage_two.localization_weight": weight}, "trunk")
        for weight in weights
    }
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells=cells | {"CSOL": CSOL},
        columns=PLACES,
        note="Expected: best in the middle (CSOL, lambda 0.3, 0.5, 0.8, 1.0, 1.5: "
        "MUSIC-Synthetic CIoU@0.3 11.0, 32.3, 27.9, 28.6, 13.2).",
    )
