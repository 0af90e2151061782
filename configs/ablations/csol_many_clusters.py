"""CSOL table 7: up to 5,000 clusters for the 98 categories of VGGSound.

Command: `avloc ablate --config configs/ablations/csol_many_clusters.py --workdir runs/csol`, on
VGGSound and with ImageNet weights, see `configs/csol_vggsound.py`. The paper, 98, 100, 200, 500,
2000, 5000 clusters: NMI 0.465, 0.463, 0.459, 0.458, 0.428, 0.417; VGGSound-Synthetic CIoU@0.3 13.2,
13.4, 12.2, 8.2, 1.4, 0.8.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell


def get_ablation() -> Ablation:
    """The ablation."""
    counts = (98, 100, 200, 500, 2000, 5000)
    return Ablation(
        config="configs/csol_vggsound.py",
        cells={f"{count}_clusters": Cell({"clusters": count}) for count in counts},
        columns=PLACES,
        note="Expected: a few more clusters than categories are harmless, many are not "
        "(CSOL table 7, VGGSound-Synthetic CIoU@0.3: 13.2, 13.4, 12.2, 8.2, 1.4, 0.8).",
    )
