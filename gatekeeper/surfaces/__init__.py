"""Surfaces: one reader (what is asked?) and one renderer (how is it answered here?) around ``Gate.decide``."""
