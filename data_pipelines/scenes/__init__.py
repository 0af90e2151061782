"""Cocktail parties: plans, mixing, and sets that are imperfect on purpose."""
