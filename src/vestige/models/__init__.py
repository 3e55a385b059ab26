"""Detectors: windows in, probabilities out. `registry.get(name)` finds one."""
