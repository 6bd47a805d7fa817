"""Try a built wheel as a user on another machine would: a clean environment, no Rust, no sources in sight.

``try_wheel.py WHEEL`` checks the tag, installs the wheel into a virtual environment of its own with a ``PATH`` on which
there is no cargo, sends an event through a datagram, runs the command, and says what it found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NEWEST_GLIBC = (2, 17)
"""What manylinux2014 (PEP 599) allows; every distribution still cared for has a newer one."""
TAG = re.compile(r"-cp311-abi3-manylinux(_2_17|2014)_[a-z0-9_.]+\.whl$")
SCRIPT = """
import switchcast
from switchcast._native import StockFrames
event = switchcast.Event("CUSTOM", {"Event-Subclass": "sofia::register", "from-user": "1000"}, b"body")
frames = StockFrames(b"ClueCon")
assert frames.open(frames.frame(event))["from-user"] == "1000"
print("switchcast", switchcast.__version__, "from", switchcast.__file__)
"""


def glibc_versions(wheel: Path) -> list[tuple[int, ...]]:
    """The versions of glibc whose symbols the wheel's native module asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".so"))
        native = archive.read(name)
    return sorted({tuple(map(int, found.split(b"."))) for found in re.findall(rb"GLIBC_(\d+(?:\.\d+)+)\0", native)})


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wheel = Path(sys.argv[1]).resolve()
    if not TAG.search(wheel.name):
        sys.exit(f"{wheel.name}: not an abi3 manylinux wheel for Python 3.11 and newer")
    newest = glibc_versions(wheel)[-1]
    if newest > NEWEST_GLIBC:
        sys.exit(f"{wheel.name}: asks for glibc {newest}, which is newer than its tag promises")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        tools = Path(folder) / "bin"
        environment = {"PATH": str(tools), "HOME": folder, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        assert shutil.which("cargo", path=environment["PATH"]) is None
        for command in (
            ["python", "-m", "pip", "install", "--quiet", "--only-binary", ":all:", str(wheel)],
            ["python", "-I", "-c", SCRIPT],
            ["switchcast", "--version"],
        ):
            subprocess.run([tools / command[0], *command[1:]], check=True, cwd=folder, env=environment)
    size = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {size:.1f} MB, glibc {'.'.join(map(str, newest))} or newer; works where there is no Rust")


if __name__ == "__main__":
    main()
