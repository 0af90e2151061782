"""C2F table 2: correspondence alone, with classes, and with the alignment of these.

Command: `avloc ablate --config configs/ablations/c2f_parts.py --workdir runs/c2f`. The paper, AVC,
multi-task, full: cIoU_class@0.5 on level 1 24.8, 20.6, 32.8, on level 2 4.27, 2.37, 6.16; @0.3 on
level 3 5.3, 10.5, 21.1. AVC has one map for all classes. `--base configs/c2f_audioset.py` runs it
on the paper's data.
"""

from avloc.ablation.declaration import Ablation, Cell, Shared

TRUNK = Shared("labels", {"multi_task.epochs": 0, "stage_two.epochs": 0})
LEVELS = tuple(
    ("*", f"level {level} {metric}")
    for level, cut in ((1, 0.5), (2, 0.5), (3, 0.3))
    for metric in (f"cIoU_class@{cut}", "AUC")
)


def get_ablation() -> Ablation:
    """The ablation."""
    return Ablation(
        config="configs/c2f_toy.py",
        shared={"trunk": TRUNK},
        cells={
            "AVC": Cell({"parts": "avc"}, "trunk"),
            "multi-task": Cell({"parts": "multi_task"}, "trunk"),
            "C2F": Cell({}, "trunk"),
        },
        columns=LEVELS,
        note="Expected: the whole method is ahead on every level, and of AVC most on level 3 (C2F "
        "table 2, AudioSet: AVC, multi-task, full 24.8, 20.6, 32.8; 4.27, 2.37, 6.16; 5.3, 10.5, "
        "21.1).",
    )
