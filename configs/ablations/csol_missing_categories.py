"""Stage one without some of the categories in the scenes.

Command: `avloc ablate --config configs/ablations/csol_missing_categories.py --workdir runs/csol`.
The paper, 0 to 3 of 11 categories missing: MUSIC-Synthetic CIoU@0.3 32.3, 21.8, 10.4, 8.4.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    cells = {f"{count}_missing": Cell({"data.missing_categories": count}) for count in (1, 2, 3)}
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={"CSOL": CSOL} | cells,
        columns=PLACES,
        note="Expected: more missing categories are worse "
        "(CSOL, 0 to 3 missing: MUSIC-Synthetic CIoU@0.3 32.3, 21.8, 10.4, 8.4).",
    )
