"""Tests of a detector at work."""
