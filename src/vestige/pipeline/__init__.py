"""Whole jobs: prepare, split, fit, judge; and all of them in one go."""
