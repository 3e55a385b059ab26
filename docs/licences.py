"""Write docs/licences.md: the licence of every distribution that vestige needs, from what is installed here.

Run it where vestige is installed with the extras to be listed: `python docs/licences.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections import deque
from importlib import metadata
from pathlib import Path

OURS = "vestige"
ALIKE = {
    "Apache-2.0": r"apache",
    "BSD": r"bsd",
    "MIT": r"\bmit\b|expat",
    "ISC": r"\bisc\b",
    "MPL-2.0": r"mpl|mozilla",
    "PSF-2.0": r"psf|python software foundation",
    "HPND/other permissive": r"hpnd|unlicense|zlib|0bsd|cc0",
}
"""What names of licences are taken for; all of these may be combined with MIT."""


def requirements(name: str) -> list[str]:
    """The distributions that an installed one needs by itself."""
    return [_name(line) for line in metadata.requires(name) or [] if "extra ==" not in line]


def _name(requirement: str) -> str:
    """The distribution that a requirement names."""
    return re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0].lower().replace("_", "-")


def closure(names: list[str]) -> dict[str, metadata.Distribution]:
    """All that is needed for some distributions, as far as it is installed."""
    found: dict[str, metadata.Distribution] = {}
    waiting = deque(names)
    while waiting:
        name = waiting.popleft()
        if name in found or name == OURS:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of another platform, or an extra that is not installed
        waiting += requirements(name)
    return found


def licence(of: metadata.Distribution) -> str:
    """What a distribution says of its licence, in a line."""
    told = of.metadata.get("License-Expression") or ""
    classifiers = [
        each.rpartition(" :: ")[2] for each in of.metadata.get_all("Classifier") or [] if "License ::" in each
    ]
    text = (of.metadata.get("License") or "").strip()
    short = text if len(text) < 60 and "\n" not in text else text.partition("\n")[0][:60]
    return told or ", ".join(classifiers) or short or "not told"


def kinds(text: str) -> list[str]:
    """The licences that a line names."""
    return [name for name, pattern in ALIKE.items() if re.search(pattern, text, re.IGNORECASE)]


def render() -> str:
    """The whole page."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    core = closure([_name(line) for line in project["dependencies"]])
    parts = {"without extras": core}
    for extra, needed in sorted(project["optional-dependencies"].items()):
        if extra != "dev":
            found = closure([_name(line) for line in needed])
            parts[f"extra `{extra}`"] = {name: found[name] for name in found if name not in core}
    lines = [
        "# Licences",
        "",
        "Made by `python docs/licences.py` from what each distribution says of itself; do not edit.",
        "vestige is MIT, and all of these may be used beside it. What is marked `look` names no licence that",
        "the script knows: look at it yourself. A wheel carries Plotly's script (MIT).",
        "",
    ]
    for title, found in parts.items():
        lines += [f"## {title}", "", "| distribution | version | licence | |", "|---|---|---|---|"]
        for name in sorted(found):
            told = licence(found[name])
            mark = "" if kinds(told) else "look"
            lines.append(f"| {name} | {found[name].version} | {told.replace('|', '/')} | {mark} |")
        if not found:
            lines.append("| not installed where this page was made | | | |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    Path(__file__).with_name("licences.md").write_text(render(), encoding="utf-8")
