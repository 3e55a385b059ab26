"""Third parties' packages: a real distribution on the path, with entry points, without an installer."""

from __future__ import annotations

from pathlib import Path


def install(site: Path, group: str, **targets: str) -> Path:
    """A distribution in the directory `site` that registers `name = module:attribute` under `group`."""
    info = site / f"plugin_{group.replace('.', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{group}\nVersion: 1.0\n")
    rows = "\n".join(f"{name} = {target}" for name, target in targets.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{rows}\n")
    return site
