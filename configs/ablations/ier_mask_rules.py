"""IEr table 5: the five rules for the mask of visible objects (equations 11 to 16).

Command: `avloc ablate --config configs/ablations/ier_mask_rules.py --workdir runs/ier`.
The paper, rules in this order: MUSIC-Synthetic CIoU@0.3 34.7, 32.6, 26.9, 38.1, 47.6.
"""

from avloc.ablation.declaration import OFF_SCREEN, PLACES, Ablation, Cell
from avloc.configs.ablations.interference_eraser import AII, CONFIG, IER, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    rules = ("constant", "batch_ratio", "sample_ratio", "none")
    cells = {rule: Cell({"stage_two.mask_rule": rule}, "identified") for rule in rules}
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK, "identified": AII},
        cells=cells | {"IEr": IER},
        columns=(*PLACES, *OFF_SCREEN),
        note="Expected: the batch's mean (IEr) is best "
        "(IEr table 5, MUSIC-Synthetic CIoU@0.3: 34.7, 32.6, 26.9, 38.1, 47.6).",
    )
