"""More clusters than the ten categories.

Command: `avloc ablate --config configs/ablations/csol_clusters.py --workdir runs/csol`.
The paper, 11, 13, 20 clusters for 11 categories: NMI 0.748, 0.735, 0.720; MUSIC-Synthetic CIoU@0.3
32.3, 33.8, 29.5; 100, 200, 500, 2000, 5000 for 98: VGG-Synthetic 13.4, 12.2, 8.2, 1.4, 0.8.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={
            "CSOL": CSOL,
            **{f"{count}_clusters": Cell({"clusters": count}) for count in (13, 20, 40)},
        },
        columns=PLACES,
        note="Expected: a few more clusters than categories are harmless, many are not "
        "(CSOL, 11, 13, 20 clusters for 11 categories: MUSIC-Synthetic CIoU@0.3 32.3, 33.8, 29.5).",
    )
