"""Virtual machines watched from four sides: see `docs/telemetry.md`."""
