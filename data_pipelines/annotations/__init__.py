"""Parsers of the annotation files and lists that authors of data sets publish."""
