"""A run on disk: its folder, config, checkpoints, history, and weights that come in."""
