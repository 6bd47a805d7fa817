"""The shape of the code: imports run downward only, a heavy dependency has one home, files stay short.

::

    app                                        puts the parts together
    views  rules  guard                        features: never one another
    node                                       listening
    line: reloading                            from one plan to the next
          sources, above sinks                 what runs on either side of the queues
          plan  holding                        what is to run, and endpoints in use
    bus
    endpoints
    simulation  archive                        a cluster made up; the history on disk and its stories
    settings                                   what tables of settings are made of
    keys                                       group keys and signing keys, from their files
    quantities  private_files                  times and sizes as people write them; files that only their owner reads
    line: addresses  duplicates  gaps  loops   what the line checks and tells; pure, but for the time of day
          state
    wire                                       bytes to events and back, and what each kind of event looks like
    system                                     what the kernel tells of this host
    errors  _native                            nothing of ours below these
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "switchcast"
LONGEST_FILE = 450
LONGEST_STUB = 700
"""A stub stands for one extension module, so it cannot be divided."""

BASE = {"errors", "_native"}
SECRETS = {"keys", "private_files"}
CHECKS = {"addresses", "duplicates", "gaps", "loops", "state"}
RUNNING = {"plan", "holding", "sinks", "sources", "reloading"}
LINE = BASE | CHECKS | RUNNING | {"keys", "wire", "endpoints", "bus", "node"}
MAY_IMPORT = {
    "errors": set(),
    "_native": set(),
    "line": set(),
    "quantities": set(),
    "system": BASE,
    "private_files": BASE,
    "keys": BASE | {"private_files"},
    "settings": {"quantities"},
    "wire": BASE,
    "simulation": BASE | {"wire"},
    "endpoints": BASE | SECRETS | {"wire", "simulation", "archive", "quantities"},
    **dict.fromkeys(CHECKS, BASE | {"wire"}),
    "bus": BASE | {"wire", "endpoints"},
    "plan": BASE | {"keys", "endpoints", "bus", "addresses", "loops"},
    "holding": BASE | {"keys", "endpoints"},
    "sinks": BASE | CHECKS | {"wire", "endpoints", "bus", "plan", "holding"},
    "sources": BASE | CHECKS | {"wire", "endpoints", "bus", "plan", "holding", "sinks"},
    "reloading": LINE - {"node", "reloading"},
    "node": LINE - {"node"},
    "views": BASE | {"settings", "wire", "endpoints", "bus", "node"},
    "rules": BASE | {"settings", "quantities", "wire", "endpoints", "bus", "node"},
    "guard": BASE | {"settings", "system", "wire", "endpoints", "bus", "node"},
    "archive": BASE | {"settings", "quantities", "wire"},
    "testing": LINE | {"simulation"},
    "app": LINE
    | SECRETS
    | {"settings", "quantities", "simulation", "system", "listening", "views", "rules", "guard", "archive", "testing"},
    "listening": BASE | {"endpoints"},
    "": BASE | {"endpoints", "listening"},
}
"""Each part of the package, and the parts that it may import besides itself. The empty name is the package's own
``__init__.py``: the public names, gathered from the line."""

EVERYWHERE = {"pydantic", "structlog"}
HOMES = {
    "duckdb": ("archive/",),
    "fastapi": ("app/api/",),
    "httpx": ("rules/actions/",),
    "jinja2": ("app/reports/",),
    "phonenumbers": ("guard/audit/",),
    "prometheus_client": ("app/",),
    "pydantic_settings": ("app/config/",),
    "pyarrow": ("archive/",),
    "pyroute2": ("system/",),
    "rich": ("app/",),
    "stamina": ("rules/actions/",),
    "starlette": ("app/api/",),
    "typer": ("app/cli/",),
    "uvicorn": ("app/api/",),
    "zstandard": ("archive/", "endpoints/"),
}
"""Each other dependency, and where it may be imported."""


def python_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    """``switchcast.endpoints.file`` is of the part ``endpoints``; in ``line`` every file is a part of its own."""
    first, _, rest = module.removeprefix("switchcast").removeprefix(".").partition(".")
    return rest.partition(".")[0] if first == "line" and rest else first


def module_of(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str) -> Iterator[str]:
    """Every module that ``source`` imports, wherever in it; a name that is imported from a package counts as one."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides its layer"
            assert node.module is not None
            if node.module == "switchcast":
                yield from (f"switchcast.{alias.name}" for alias in node.names)
            else:
                yield node.module


def faults_of(module: str, source: str) -> list[str]:
    """What ``source`` imports, as ``module`` of the package, that it may not."""
    part = part_of(module)
    place = module.removeprefix("switchcast").removeprefix(".").replace(".", "/") + "/"
    faults = []
    for imported in imports_in(source):
        root = imported.partition(".")[0]
        if root == "switchcast":
            target = part_of(imported)
            if target != part and target not in MAY_IMPORT[part]:
                faults.append(f"{module} imports {imported}, which lies above or beside it")
        elif root not in sys.stdlib_module_names and root not in EVERYWHERE:
            homes = HOMES.get(root)
            if homes is None:
                faults.append(f"{module} imports {root}, which has no home yet: give it one in HOMES")
            elif not place.startswith(homes):
                faults.append(f"{module} imports {root}, whose home is {' and '.join(homes)}")
    return faults


@pytest.mark.parametrize("path", python_files(), ids=module_of)
def test_imports_run_downward(path: Path) -> None:
    module = module_of(path)
    assert part_of(module) in MAY_IMPORT, f"{module} is of no known part: say in MAY_IMPORT what it may import"
    assert faults_of(module, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("switchcast.wire.json", "from switchcast.endpoints import make_endpoint"),
        ("switchcast.wire.json", "import switchcast.bus"),
        ("switchcast.endpoints.udp", "def f():\n    from switchcast.app.config import load"),
        ("switchcast.endpoints.udp", "from switchcast import Event"),
        ("switchcast.views.calls", "from switchcast import rules"),
        ("switchcast.endpoints.file", "from rich.progress import Progress"),
        ("switchcast.views.calls", "import fastapi"),
    ],
)
def test_an_import_that_runs_upward_is_seen(module: str, source: str) -> None:
    assert len(faults_of(module, source)) == 1


def code_files() -> list[Path]:
    folders = ["src", "tests", "native", "fuzz", "benchmarks", "scripts"]
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".pyi", ".rs", ".sh"} and "target" not in path.relative_to(ROOT).parts
    )


def test_no_file_has_become_two() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_bytes().splitlines()) for path in code_files()}
    assert lengths, "no code was found"
    allowed = {name: LONGEST_STUB if name.endswith(".pyi") else LONGEST_FILE for name in lengths}
    assert {name: length for name, length in lengths.items() if length > allowed[name]} == {}


def test_every_file_is_about_something() -> None:
    assert [str(path) for path in code_files() if re.search("util|helper|misc|common", path.stem)] == []


def test_only_the_border_knows_python() -> None:
    knowing = {
        path.relative_to(ROOT / "native" / "src").parts[0]
        for path in (ROOT / "native" / "src").rglob("*.rs")
        if "pyo3" in path.read_text(encoding="utf-8")
    }
    assert "python" in knowing
    assert knowing <= {"python", "lib.rs"}
