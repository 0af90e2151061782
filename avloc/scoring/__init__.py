"""A run, or anyone's maps, put through evaluation."""
