"""Stage one with and without the classification that alternates with localization.

Command: `avloc ablate --config configs/ablations/csol_alternation.py --workdir runs/csol`.
The paper, MUSIC-Synthetic CIoU@0.3 / AUC / NSA: with it 32.3 / 23.5 / 98.5, without 17.4 / 16.5 /
95.7.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={
            "localization_alone": Cell({"stage_one.classification_passes": 0}),
            "CSOL": CSOL,
        },
        columns=PLACES,
        note="Expected: alternating is better "
        "(CSOL, MUSIC-Synthetic CIoU@0.3 / AUC / NSA: 32.3 / 23.5 / 98.5 against "
        "17.4 / 16.5 / 95.7).",
    )
