"""Both methods on a folder of your own videos, and what helps there.

Command: `avloc data build video_folder --source DIR`, then
`avloc ablate --config configs/ablations/own_videos.py --workdir runs/own`, with `--data-dir D` at
both where another folder was built before. The papers have nothing like it. `KINDS` is the number
of clusters: copy this file and change it to the number of kinds of things that sound in your
videos. The rows `clusters...` stop before hearing is learnt: what they change shows in the
clusters, and they take a minute each on 2 cores.
"""

from avloc.ablation.declaration import PLACES, Ablation, Cell

KINDS = {"clusters": 24}
CLUSTERS = KINDS | {"hearing.epochs": 0, "hearing.steps": 0}


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config="configs/csol_folder.py",
        cells={
            "CSOL": Cell(KINDS),
            "IEr": Cell(KINDS, config="configs/ier_folder.py"),
            "clusters": Cell(CLUSTERS),
            "clusters_of_sight_alone": Cell(CLUSTERS | {"representation_sound": 0.0}),
            "clusters_of_still_sounds": Cell(
                CLUSTERS
                | {
                    "sound_views.offset": False,
                    "sound_views.semitones": 0.0,
                    "sound_views.hiss_db": 0.0,
                }
            ),
            "clusters_by_two_layers": Cell(CLUSTERS | {"model.visual_layers": 2}),
            "clusters_of_one_view": Cell(CLUSTERS | {"stored_views": 1}),
        },
        columns=(*PLACES, ("*", "all heard most"), ("*", "named precision"), ("*", "named recall")),
        note="Expected: the rows below `clusters` are worse than it. Sight and sound are "
        "clustered jointly; sounds start anywhere in the video, at another pitch, with some "
        "noise; pictures have four views.",
    )
