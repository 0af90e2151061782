"""A run on disk: its folder, config, checkpoints, history, and imported weights."""
