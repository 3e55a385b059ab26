"""Stores of episodes, as the tests of telemetry have them."""

from tests.sources.telemetry.conftest import make_store, store

__all__ = ["make_store", "store"]
