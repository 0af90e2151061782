"""What a person reads of a run or of a data set."""
