"""What of a data set is there, missing or damaged, and a look at it."""
