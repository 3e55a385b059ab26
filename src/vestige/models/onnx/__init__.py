"""Detectors as graphs of ONNX: written from trained ones, run without torch, Lightning or XGBoost.

What needs none of these (linear models, n-grams, what is normal) has no graph: its own NumPy code computes it
as before.
"""
