"""Stage one with and without the classification that alternates with localization.

Command: `avloc ablate --config configs/ablations/csol_alternation.py --workdir runs/csol`.
The paper, MUSIC-Synthetic CIoU@0.3 / AUC / NSA: with it 32.3 / 23.5 / 98.5, without 17.4 / 16.5 /
95.7.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell
from avloc.configs.ablations.sounding_objects import CONFIG, CSOL, TRUNK

# Stage two needs to hear in any case: the audio head alone learns the clusters of the end (CSOL 4.7
# takes p_a from pseudo labels), so that the row differs in the features and in nothing else.
ALONE = {
    "stage_one.classification_passes": 0,
    "hearing.epochs": 7,
    "optimizers.hearing.learning_rates.default": 0.0,
    "optimizers.hearing.learning_rates.audio_classifier": 3e-3,
}


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config=CONFIG,
        shared={"trunk": TRUNK},
        cells={
            "localization_alone": Cell(ALONE),
            "CSOL": CSOL,
        },
        columns=PLACES,
        note="Expected: alternating is better "
        "(CSOL, MUSIC-Synthetic CIoU@0.3 / AUC / NSA: 32.3 / 23.5 / 98.5 against "
        "17.4 / 16.5 / 95.7).",
    )
