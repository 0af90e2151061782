"""Measurements of `make bench`: our code against what a user would run instead."""
