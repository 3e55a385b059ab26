"""Put Plotly's script into the package when it is built: of the 64 MB of the distribution plotly, it is all
that a report needs. Its licence (MIT) stands in its first lines."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SCRIPT = Path("package_data") / "plotly.min.js"


class PlotlyScript(BuildHookInterface[Any]):
    """Copies the script beside the page's own; an editable installation reads it from there as well."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Raises ModuleNotFoundError where plotly, which `build-system.requires` names, is not there."""
        spec = find_spec("plotly")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError("plotly")
        own = Path(self.root) / "src" / "vestige" / "evaluation" / "page" / SCRIPT.name
        shutil.copyfile(Path(spec.submodule_search_locations[0]) / SCRIPT, own)
        build_data["artifacts"].append(own.relative_to(self.root).as_posix())
