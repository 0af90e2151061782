"""Grids of runs that differ in a few fields: declared, trained, and compared in a table."""
