"""DSOL table 8: the visual network from ImageNet weights, or from random ones.

Command: `avloc ablate --config configs/ablations/csol_start.py --workdir runs/csol`, on MUSIC and
with ImageNet weights, see `configs/dsol_music.py`. The paper, ImageNet, scratch: NMI 0.748, 0.576;
MUSIC-solo IoU@0.5 51.4, 25.0; MUSIC-Synthetic CIoU@0.3 32.3, 7.8.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config="configs/dsol_music.py",
        cells={"ImageNet": Cell(), "scratch": Cell({"init_from": ""})},
        columns=PLACES,
        note="Expected: ImageNet weights are better "
        "(DSOL, ImageNet, scratch: MUSIC-Synthetic CIoU@0.3 32.3, 7.8).",
    )
