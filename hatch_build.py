"""Put Plotly's script into the package when it is built: of the 64 MB of the distribution plotly, it is all
that a report needs. Its licence (MIT) stands in its first lines.

A commit that is tagged `v1.2.3` can only be built as 1.2.3.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = Path("package_data") / "plotly.min.js"


class PlotlyScript(BuildHookInterface[Any]):
    """Copies the script beside the page's own; an editable installation reads it from there as well."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Raises ModuleNotFoundError where plotly, which `build-system.requires` names, is not there, and
        ValueError where the commit has a tag of another version."""
        check_tag(Path(self.root), self.metadata.version)
        spec = find_spec("plotly")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("plotly")
        own = Path(self.root) / "src" / "vestige" / "evaluation" / "page" / SCRIPT.name
        shutil.copyfile(Path(spec.submodule_search_locations[0]) / SCRIPT, own)
        build_data["artifacts"].append(own.relative_to(self.root).as_posix())


def check_tag(root: Path, version: str) -> None:
    """Raises ValueError where the commit in `root` has tags of versions, and none is that of `version`. A
    source distribution, which is no checkout, has none."""
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return
    command = [git, "-C", str(root), "tag", "--points-at", "HEAD", "v[0-9]*"]
    tags = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()  # noqa: S603
    if tags and f"v{version}" not in tags:
        raise ValueError(f"this commit is tagged {', '.join(tags)}, but __version__ is {version}")
