"""Sweeping a receiver store: every episode gets a verdict; see `sweep.validate`."""
