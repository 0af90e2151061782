"""Checks of a data set: what is present, missing or damaged, and a preview."""
