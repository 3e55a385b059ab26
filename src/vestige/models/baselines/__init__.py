"""Trivial detectors: what a model must beat before it is worth anything."""
