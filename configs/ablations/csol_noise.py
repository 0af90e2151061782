"""Stage one with clips of several sources among the single ones.

Command: `avloc ablate --config configs/ablations/csol_noise.py --workdir runs/csol`.
The paper, 0, 5, 10, 15 % of such clips: MUSIC-Synthetic CIoU@0.3 32.3, 29.2, 23.3, 19.3.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    cells = {f"noise_{percent}": Cell({"data.noise": percent / 100}) for percent in (5, 10, 15)}
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={"CSOL": CSOL} | cells,
        columns=PLACES,
        note="Expected: more noise is worse "
        "(CSOL, 0, 5, 10, 15 %: MUSIC-Synthetic CIoU@0.3 32.3, 29.2, 23.3, 19.3).",
    )
