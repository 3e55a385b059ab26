"""A small log with labels, and detectors that learnt from it."""

from __future__ import annotations

from pathlib import Path

from vestige import checkpoint
from vestige.checkpoint import Notes
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.reading.encoding import EncodedWindows
from vestige.sources.logs.options import LogOptions
from vestige.sources.registry import get
from vestige.training import TrainingConfig, train

LINES = [f"2025-11-12 08:{n // 60:02d}:{n % 60:02d} {'ERROR' if n % 9 == 0 else 'INFO'} " for n in range(400)]
WORDS = ["connected to db", "query took 12 ms", "cache is warm", "user bob logged in"]


def trained(directory: Path, name: str) -> tuple[Path, Path]:
    """A detector of logs in a directory, and the log that it learnt from."""
    log = directory / "app.log"
    log.write_text("".join(f"{head}{WORDS[n * n % 4]}\n" for n, head in enumerate(LINES)))
    source = get("logs")
    windows = source.prepare(log, directory / "dataset", LogOptions(label="level:ERROR"))
    encoder = source.fit_encoder(windows)
    encoded = EncodedWindows.of(windows, encoder)
    kind = registry.get(name)
    detector = kind.build(choose_inputs(kind, encoded.schema), len(encoded.schema.classes))
    (directory / "run").mkdir()
    config = TrainingConfig(epochs=1)
    train(detector, encoded, encoded, config, directory / "run", progress=False)
    checkpoint.save(
        directory / name,
        detector=detector,
        encoder=encoder,
        source=source,
        schema=windows.schema,
        view="realistic",
        threshold=0.5,
        notes=Notes(),
    )
    return directory / name, log
