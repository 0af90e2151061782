"""Files damaged from seeds, given to the command line; see `scripts/fuzz.py`."""
