"""Runs shared by the ablations of IEr, so that nothing is trained twice in one workdir."""

from avloc.ablation.declaration import Cell, Shared

CONFIG = "configs/ier_toy.py"

# Steps and mixtures are what the Audio-Instance-Identifier adds to single clips.
NO_AII = {"identifier.steps": "none", "identification.share": (0.0, 0.0)}
NO_CMR = {"stage_two.epochs": 0}

# Both methods start from the same stage one, on single sources, as in the papers.
TRUNK = Shared("stage_one", NO_CMR | {"stage_one.mixtures": 0.0}, config="configs/csol_wild.py")

AII = Shared("identification", NO_CMR, start="trunk")
NEITHER = Shared("identification", NO_CMR | NO_AII, start="trunk")

IER = Cell({}, "identified")
