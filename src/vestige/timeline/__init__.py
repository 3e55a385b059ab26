"""Surprise along recorded runs: where in the program it went strange, and which runs went strange alike."""
