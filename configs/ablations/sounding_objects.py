"""What the ablations of CSOL share, so that in one workdir nothing is trained twice."""

from avloc.ablation.declaration import Cell, Shared

CONFIG = "configs/csol_toy.py"
TRUNK = Shared("stage_one", {"stage_two.epochs": 0})
# The config as it stands: ten clusters, alternating, lambda 0.5, nothing missing, no noise.
CSOL = Cell({}, "trunk")
