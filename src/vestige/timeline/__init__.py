"""Surprise along recordings: where in the program it went strange, and which of them went strange alike."""
