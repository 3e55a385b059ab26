"""System logs: raw files to windows of messages, templates and words."""
