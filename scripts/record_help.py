"""Write the command line's help texts into the documentation, where a test compares them with the program's own.

To be run after a change of the command line: ``.venv/bin/python scripts/record_help.py``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGES = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"^```console\n\$ (switchcast [a-z ]*--help)\n(?:(?!\$ ).*\n)*?```$", re.MULTILINE)
"""One command and what it prints; a block with several is left as it is."""
WIDTH = "100"
"""Columns: what ``tests/test_docs.py`` runs commands with."""


def recorded(block: re.Match[str]) -> str:
    """The block with what its command prints now."""
    command = [str(Path(sys.executable).parent / "switchcast"), *block[1].split()[1:]]
    environment = os.environ | {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    return f"```console\n$ {block[1]}\n{printed}```"


if __name__ == "__main__":
    for page in sorted(PAGES.glob("*.md")):
        page.write_text(BLOCK.sub(recorded, page.read_text(encoding="utf-8")), encoding="utf-8")
