"""The peers: built here, from source that stands beside this file, into a folder outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

__all__ = ["bare", "blocking", "build_folder"]

HERE = Path(__file__).parent


@cache
def build_folder() -> Path:
    """Where peers are built: kept between runs, one for each user."""
    folder = Path(tempfile.gettempdir()) / f"switchcast-benchmarks-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        sys.exit(f"benchmarks: {folder} belongs to somebody else; set TMPDIR to another folder")
    return folder


@cache
def bare() -> Path:
    """The bare loops in Rust, built with ``cargo build --release``."""
    _need("cargo")
    target = build_folder() / "bare"
    manifest = HERE / "bare" / "Cargo.toml"
    command: list[str | Path] = ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest]
    subprocess.run(command, check=True, env={**os.environ, "CARGO_TARGET_DIR": str(target)})
    return target / "release" / "bare"


@cache
def blocking() -> Path:
    """The blocking receiver in C, built with ``gcc -O2``."""
    _need("gcc")
    program = build_folder() / "blocking"
    subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, HERE / "blocking.c"], check=True)
    return program


def _need(tool: str) -> None:
    if shutil.which(tool) is None:
        sys.exit(f"benchmarks: {tool} is missing, and a peer is built with it")
