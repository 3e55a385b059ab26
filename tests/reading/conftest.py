"""The small simulated stores of telemetry."""

from __future__ import annotations

from tests.sources.telemetry.conftest import make_store

__all__ = ["make_store"]
