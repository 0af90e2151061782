"""Scores runs, or heat maps from anywhere, with the metrics of `avloc.evaluation`."""
