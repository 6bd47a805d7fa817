"""Every error that switchcast raises stands in one tree, and the tree is drawn as it is."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from switchcast import errors
from switchcast.errors import SwitchcastError

PACKAGE = Path(errors.__file__).parent


def drawn() -> dict[str, tuple[str, int]]:
    """Each name in the drawing, with the one that it hangs from and its exit code, its parent's where none stands."""
    tree: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    ([│ ]*(?:[├└]── )?)(\w+) +(\d+)? +\w.*", line)
        if found is None:
            continue
        depth = len(found[1]) // 4
        parent = above[depth - 1] if depth else ""
        tree[found[2]] = (parent, int(found[3]) if found[3] else tree[parent][1])
        above[depth:] = [found[2]]
    return tree


def test_the_drawing_is_the_tree() -> None:
    kinds = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), SwitchcastError)]
    parents = {kind.__name__: kind.__bases__[0].__name__ if kind is not SwitchcastError else "" for kind in kinds}
    assert drawn() == {kind.__name__: (parents[kind.__name__], kind.exit_code) for kind in kinds}


def test_no_other_file_begins_a_branch_of_its_own() -> None:
    elsewhere = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any(isinstance(base, ast.Name) and base.id == "SwitchcastError" for base in node.bases)
    ]
    assert elsewhere == []
