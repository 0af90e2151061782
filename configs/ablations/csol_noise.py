"""Stage one with clips among the single sources that hold several.

Command: `avloc ablate --config configs/ablations/csol_noise.py --workdir runs/csol_noise`.
The paper, 0, 5, 10, 15 % of such clips: MUSIC-Synthetic CIoU@0.3 32.3, 29.2, 23.3, 19.3.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config="configs/csol_toy.py",
        cells={
            f"noise_{share:.0%}".rstrip("%"): Cell({"data.noise": share})
            for share in (0.0, 0.05, 0.1, 0.15)
        },
        columns=PLACES,
        note="Expected: the more noise, the worse "
        "(CSOL, 0, 5, 10, 15 %: MUSIC-Synthetic CIoU@0.3 32.3, 29.2, 23.3, 19.3).",
    )
