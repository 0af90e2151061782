"""IEr table 4: the Audio-Instance-Identifier (AII) and the Cross-modal Referrer (CMR).

Command: `avloc ablate --config configs/ablations/ier_modules.py --workdir runs/ier`.
The paper, neither, AII, CMR, both: MUSIC-Synthetic CIoU@0.3 0.2, 12.8, 29.5, 47.6.
"""

from dataclasses import replace

from avloc.ablation.declaration import HEARING, OFF_SCREEN, PLACES, Ablation, Cell
from avloc.configs.ablations.interference_eraser import AII, CONFIG, IER, NEITHER, NO_AII, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={
            "trunk": TRUNK,
            "single": replace(NEITHER, shown_as="neither"),
            "identified": replace(AII, shown_as="AII"),
        },
        cells={"CMR": Cell(NO_AII, "single"), "IEr": IER},
        columns=(*PLACES, *OFF_SCREEN, *HEARING),
        note="Expected: both help, and help most together (IEr) "
        "(IEr table 4, MUSIC-Synthetic CIoU@0.3: 0.2, 12.8, 29.5, 47.6).",
    )
