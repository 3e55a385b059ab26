"""Putting a detector to work on raw evidence: window by window, or recording by recording."""

from vestige.scoring.recordings import score_recordings, with_verdicts
from vestige.scoring.windows import check_device, json_line, score

__all__ = ["check_device", "json_line", "score", "score_recordings", "with_verdicts"]
