"""CSOL against IEr while silent objects and off-screen sounds grow in number (IEr table 9).

Command: `avloc ablate --config configs/ablations/ier_interference.py --workdir runs/ier`, after
`avloc data build toy_orchestra/wild`. The paper, (sounding, silent, off-screen) = (2,2,1), (3,3,2),
(4,4,3): CIoU@0.3 IEr 15.6, 14.7, 12.8; DSOL 3.2, 1.3, 0.5. Stage one of `CSOL` has single
sources, as in its papers; `CSOL_mixed` is `configs/csol_wild.py`, whose stage one hears mixtures.
"""

from avloc.ablation.declaration import HEARING, OFF_SCREEN, PLACES, Ablation, Cell
from avloc.configs.ablations.interference_eraser import AII, CONFIG, IER, TRUNK


def get_ablation() -> Ablation:
    """The ablation."""
    csol = "configs/csol_wild.py"
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK, "identified": AII},
        cells={
            "CSOL": Cell({"stage_one.mixtures": 0.0}, "trunk", config=csol),
            "IEr": IER,
            "CSOL_mixed": Cell({}, config=csol),
        },
        columns=(*PLACES, *OFF_SCREEN, *HEARING),
        note="Expected: IEr is ahead, and the more interference, the further "
        "(IEr table 9, CIoU@0.3: IEr 15.6, 14.7, 12.8; DSOL 3.2, 1.3, 0.5).",
    )
