"""IEr table 2: the Audio-Instance-Identifier (AII), with mixtures that get harder, or hard ones.

Command: `avloc ablate --config configs/ablations/ier_curriculum.py --workdir runs/ier`.
The paper, no AII, without curriculum, with: MUSIC precision 0.372, 0.441, 0.461, recall 0.335,
0.489, 0.715, mAP 0.355, 0.403, 0.433, NMI 0.692, 0.758, 0.809. `no_steps` is not in the paper: it
hears the same mixtures, and has one feature for all sources.
"""

from dataclasses import replace

from avloc.ablation.declaration import HEARING, Ablation, Cell
from avloc.configs.ablations.interference_eraser import AII, CONFIG, NEITHER, NO_CMR, TRUNK

# The last epoch's mixtures, from the first epoch on.
HARD_AT_ONCE = {"identification.share": (0.9, 0.9), "identification.sources": (4, 4)}


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={
            "trunk": TRUNK,
            "single": replace(NEITHER, shown_as="neither"),
            "identified": replace(AII, shown_as="AII"),
        },
        cells={
            "no_steps": Cell(NO_CMR | {"identifier.steps": "none"}, "trunk"),
            "no_curriculum": Cell(NO_CMR | HARD_AT_ONCE, "trunk"),
        },
        columns=(("*", "NMI"), *HEARING),
        note="Expected: AII raises recall most, the curriculum raises it further (IEr table 2, "
        "MUSIC precision / recall / mAP: 0.372 / 0.335 / 0.355, 0.441 / 0.489 / 0.403, "
        "0.461 / 0.715 / 0.433).",
    )
