"""Tests of putting detectors to work."""
