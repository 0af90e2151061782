"""Grids of runs that differ in a few fields: declared, trained, and set side by side in a table."""
