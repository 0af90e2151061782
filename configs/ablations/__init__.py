"""Ablations: each file has a `get_ablation()`; `avloc ablate --config` trains and tabulates it."""
