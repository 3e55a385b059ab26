"""A finished run for the verbs that need one, and its corpus."""

from __future__ import annotations

from tests.pipeline.conftest import corpus, finished

__all__ = ["corpus", "finished"]
