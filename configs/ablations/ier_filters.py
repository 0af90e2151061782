"""IEr table 3: the filters of the Cross-modal Referrer, for silent objects and off-screen sound.

Command: `avloc ablate --config configs/ablations/ier_filters.py --workdir runs/ier`.
The paper, neither, silent, off-screen, both: MUSIC-Unconstrained CIoU@0.3 2.7, 4.6, 5.1, 15.6.
"""

from avloc.ablation.declaration import OFF_SCREEN, PLACES, Ablation, Cell
from avloc.configs.ablations.interference_eraser import AII, CONFIG, IER, TRUNK

NO_SILENT = {"stage_two.silent_filter": False}
NO_OFFSCREEN = {"stage_two.offscreen_filter": False}


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK, "identified": AII},
        cells={
            "no_filter": Cell(NO_SILENT | NO_OFFSCREEN, "identified"),
            "silent": Cell(NO_OFFSCREEN, "identified"),
            "off-screen": Cell(NO_SILENT, "identified"),
            "IEr": IER,
        },
        columns=(*PLACES, *OFF_SCREEN),
        note="Expected: each helps a little, both together (IEr) help a lot "
        "(IEr table 3, MUSIC-Unconstrained CIoU@0.3: 2.7, 4.6, 5.1, 15.6).",
    )
