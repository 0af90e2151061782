"""Runs shared by the ablations of CSOL, so that nothing is trained twice in one workdir."""

from avloc.ablation.declaration import Cell, Shared

CONFIG = "configs/csol_toy.py"
TRUNK = Shared("stage_one", {"stage_two.epochs": 0})
# The unchanged config: ten clusters, alternating, lambda 0.5, nothing missing, no noise.
CSOL = Cell({}, "trunk")
