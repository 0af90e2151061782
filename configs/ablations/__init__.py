"""Ablations: a file gives one by `get_ablation()`; `avloc ablate --config` trains and tables it."""
