"""Cocktail-party scenes: plans, mixing, and data sets that are imperfect on purpose."""
