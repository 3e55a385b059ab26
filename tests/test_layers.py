"""No package imports one above its own, and there are no circles: `docs/architecture.md` says which order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src"
PAGE = ROOT / "docs" / "architecture.md"
CAUGHT = {
    ("vestige.cli.main", "run"),
    ("vestige.engine.worker", "serve"),
    ("vestige.engine.worker", "as_bug"),
    ("vestige.engine.node", "run"),
    ("vestige.tuning.on_node", "work"),
    ("vestige.log", "emit"),
}
"""Where everything may be caught, with the reason of each on the page."""
EVERYTHING = {"Exception", "BaseException"}
READERS = {"sources", "reading", "evidence"}
ABOVE_READERS = {"simulators", "validation"}


class Import(NamedTuple):
    """One module names another: at its top, in a function, or for the types alone."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


def package_of(module: str) -> str:
    """The part of the house that a module lies in: `vestige.nn.fast` in `nn`, `vestige.log` in `log`."""
    return module.split(".")[1]


def layers(page: str) -> list[list[str]]:
    """The lines of the first fenced block, topmost first: the names that a line begins with."""
    block = page.split("```")[1]
    found = []
    for line in block.strip().splitlines():
        names = []
        for word in line.split():
            if not word.endswith(("/", ".py")):
                break
            names.append(word.removesuffix("/").removesuffix(".py"))
        found.append(names)
    return found


def modules(source: Path) -> dict[str, Path]:
    """Every module below `source` by its full name."""
    found = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        if parts[-1] == "__main__":
            continue  # it only calls the command line
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts)] = path
    return found


def imports(found: dict[str, Path]) -> list[Import]:
    """Every import of one of the modules by another."""
    return [
        Import(importer, imported, line)
        for importer, path in found.items()
        for imported, line in _named(importer, path, found)
    ]


def _named(importer: str, path: Path, found: Iterable[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in found)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # `from .` in a package's own `__init__` means the package itself
                above = node.level - (path.name == "__init__.py")
                package = importer.split(".")
                base = ".".join([*package[: len(package) - above], *filter(None, [node.module])])
            for alias in node.names:
                # `from package import name`: a module of that name, or something that the package defines
                for target in (f"{base}.{alias.name}", base):
                    if target in found:
                        yield target, node.lineno
                        break


def upward(edges: Iterable[Import], order: list[list[str]]) -> list[str]:
    """The imports that lead from a line of the order to one above it."""
    floor = {name: number for number, names in enumerate(order) for name in names}
    return [
        str(edge) for edge in edges if floor[package_of(edge.imported)] < floor[package_of(edge.importer)]
    ]


def circle(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """One circle among the pairs of importer and imported; none where there is none."""
    graph = TopologicalSorter[str]()
    for importer, imported in pairs:
        graph.add(importer, imported)
    try:
        graph.prepare()
    except CycleError as error:
        found: list[str] = error.args[1]
        return found
    return []


def between_packages(edges: Iterable[Import]) -> set[tuple[str, str]]:
    pairs = {(package_of(edge.importer), package_of(edge.imported)) for edge in edges}
    return {(importer, imported) for importer, imported in pairs if importer != imported}


ORDER = layers(PAGE.read_text(encoding="utf-8"))
HOUSE = {name: path for name, path in modules(SOURCE).items() if name != "vestige"}


@cache
def all_edges() -> list[Import]:
    """Every import within the house: found by the first test that asks, not wherever tests are listed."""
    return imports(HOUSE)


def test_the_page_names_every_package_once_and_nothing_else() -> None:
    named = [name for names in ORDER for name in names]
    assert sorted(named) == sorted({package_of(module) for module in HOUSE})


def test_every_package_has_a_row_in_the_table_of_the_page() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("\n## Packages\n")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    rows = [
        name.strip(" `").removesuffix("/").removesuffix(".py") for cell in cells for name in cell.split(",")
    ]
    assert sorted(rows) == sorted({package_of(module) for module in HOUSE} - {"cli"})


def test_no_package_imports_one_above_it() -> None:
    assert len(all_edges()) > 500
    assert upward(all_edges(), ORDER) == []


def test_there_is_no_circle_of_packages() -> None:
    assert circle(between_packages(all_edges())) == []


def test_there_is_no_circle_of_modules() -> None:
    assert circle((edge.importer, edge.imported) for edge in all_edges()) == []


def catches_everything(path: Path) -> Iterator[str]:
    """The functions of a module that catch every exception."""
    for function in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and not _raises_again(node):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                if any(kind is None or ast.unparse(kind) in EVERYTHING for kind in kinds):
                    yield function.name


def _raises_again(handler: ast.ExceptHandler) -> bool:
    """Whether it tidies up and lets the error go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_everything_is_caught_only_where_the_page_says_why() -> None:
    found = {(module, name) for module, path in HOUSE.items() for name in catches_everything(path)}
    assert found == CAUGHT
    table = (
        PAGE.read_text(encoding="utf-8").partition("\n## Where errors are caught\n")[2].partition("\n## ")[0]
    )
    for module, name in CAUGHT - {("vestige.cli.main", "run")}:
        file = f"{module.removeprefix('vestige.').replace('.', '/')}.py"
        assert any(f"`{file}`" in row and f"{name}`" in row for row in table.splitlines()), (module, name)


def test_a_handler_of_everything_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "def hides():\n    try:\n        go()\n    except (OSError, Exception):\n        pass\n"
        "def names():\n    try:\n        go()\n    except OSError:\n        pass\n"
        "def tidies():\n    try:\n        go()\n    except BaseException:\n        tidy()\n        raise\n"
        "def bare():\n    try:\n        go()\n    except:\n        pass\n"
    )
    assert list(catches_everything(module)) == ["hides", "bare"]


CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")
PATCHED = {
    # Only a worker itself knows how long it waits for what it is at, once its caller was killed.
    ("tests/engine/test_local.py", "GRACE"),
}
"""Constants that tests change in place: everywhere else a test hands over a bound of its own."""


def changed_constants(path: Path) -> Iterator[str]:
    """The constants of modules, and entries of tables among them, that a test changes in place."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names: list[str] = []
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            if called in {"setattr", "delattr", "setitem", "delitem", "patch", "object"}:
                names = [ast.unparse(argument).strip("\"'") for argument in node.args[:2]]
        elif isinstance(node, ast.Assign):
            names = [ast.unparse(target) for target in node.targets if isinstance(target, ast.Attribute)]
        lasts = [name.rpartition(".")[2] for name in names]
        yield from (name for name in lasts if CONSTANT.fullmatch(name))


def test_a_test_hands_over_its_bounds_and_changes_no_constant() -> None:
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    assert len(tests) > 200
    found = {(str(path.relative_to(ROOT)), name) for path in tests for name in changed_constants(path)}
    assert found == PATCHED


def test_a_changed_constant_is_seen(tmp_path: Path) -> None:
    module = tmp_path / "test_module.py"
    module.write_text(
        'patch.setattr(module, "MOST", 3)\nmonkeypatch.setattr("vestige.log._LEVEL", 3)\n'
        'monkeypatch.setitem(module.TABLE, "a", 3)\nmodule.PIECE = 3\nmodule.piece = 3\n'
        'monkeypatch.setattr(module, "function", MOST)\nmonkeypatch.setenv("COLUMNS", "80")\n'
    )
    assert set(changed_constants(module)) == {"MOST", "_LEVEL", "TABLE", "PIECE"}


def test_no_reader_knows_of_a_simulator_or_of_the_sweep() -> None:
    reading = [edge for edge in all_edges() if package_of(edge.importer) in READERS]
    assert len(reading) > 100
    assert [str(edge) for edge in reading if package_of(edge.imported) in ABOVE_READERS] == []
    names = [
        f"vestige.{package}" for package in ABOVE_READERS
    ]  # as text, too: modules are also loaded by name
    texts = [path for module, path in HOUSE.items() if package_of(module) in READERS]
    assert [path for path in texts if any(name in path.read_text(encoding="utf-8") for name in names)] == []


# What the checks themselves see, on a house with two floors.

MADE_UP = {
    "vestige/low/__init__.py": "",
    "vestige/low/plain.py": "import os\nfrom vestige.low import other",
    "vestige/low/other.py": "",
    "vestige/high/__init__.py": "from .part import name",
    "vestige/high/part.py": "from ..low import plain\nname = 1",
}
TWO_FLOORS = [["high"], ["low"]]


def build(folder: Path, **changed: str) -> list[Import]:
    for name, content in MADE_UP.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.stem, content), encoding="utf-8")
    return imports(modules(folder))


def test_what_follows_the_order_is_let_through(tmp_path: Path) -> None:
    edges = build(tmp_path)
    assert sorted((edge.importer, edge.imported) for edge in edges) == [
        ("vestige.high", "vestige.high.part"),
        ("vestige.high.part", "vestige.low.plain"),
        ("vestige.low.plain", "vestige.low.other"),
    ]
    assert upward(edges, TWO_FLOORS) == []
    assert circle(between_packages(edges)) == []


@pytest.mark.parametrize(
    "other",
    [
        "import vestige.high.part",
        "from vestige.high import part",
        "from vestige.high.part import name",
        "from ..high.part import name",
        "def late():\n    from vestige.high import part",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vestige.high.part import name",
    ],
)
def test_an_import_from_above_is_found_wherever_it_stands(other: str, tmp_path: Path) -> None:
    edges = build(tmp_path, other=other)
    line = other.count("\n") + 1
    assert upward(edges, TWO_FLOORS) == [f"vestige.low.other, line {line}, imports vestige.high.part"]
    assert set(circle(between_packages(edges))) == {"low", "high"}


def test_a_circle_of_modules_is_found_within_a_package(tmp_path: Path) -> None:
    edges = build(tmp_path, other="def late():\n    from vestige.low.plain import os")
    assert upward(edges, TWO_FLOORS) == []
    assert circle(between_packages(edges)) == []
    found = circle((edge.importer, edge.imported) for edge in edges)
    assert set(found) == {"vestige.low.plain", "vestige.low.other"}
