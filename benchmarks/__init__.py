"""Measurements of `make bench`: ours beside what a user would run instead, in one run."""
