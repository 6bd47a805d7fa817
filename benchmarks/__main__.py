"""``python -m benchmarks [NAME...] [--runs 5] [--quick]``: measure, check, compare, write down."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import switchcast
from benchmarks import namespace
from benchmarks.result import Incorrect, Row

NAMES = (
    "drain",
    "deliver",
    "live",
    "parse",
    "publish",
    "policy",
    "audit",
    "rules",
    "views",
    "storm",
    "latency",
    "reliable",
    "memory",
    "archive",
    "micro",
)
RESULTS = Path(__file__).parent / "results"
PEERS = ("lcm", "greenswitch", "genesis")
METHOD = (
    "Medians of interleaved runs (ours, peer, ours, peer, ...) within one private network namespace, traffic on its "
    "loopback interface. Processor time is CLOCK_PROCESS_CPUTIME_ID of the measured process, all its threads, kernel "
    "time included. Events are real ones of the recording nearest to the size named. Each run checks what it timed."
)


def main() -> int:
    """Run what was named, or everything; 1 when something that was timed was not right."""
    arguments = parse_arguments()
    namespace.enter()
    console = Console()
    rows: list[Row] = []
    incorrect: list[str] = []
    for name in arguments.names or NAMES:
        begin = time.monotonic()
        console.print(f"[dim]{name} ...[/dim]")
        try:
            found = importlib.import_module(f"benchmarks.{name}").run(arguments.runs, arguments.quick)
        except Incorrect as error:
            incorrect.append(f"{name}: {error}")
            console.print(f"[bold red]incorrect:[/bold red] {error}", highlight=False)
            continue
        rows += found
        console.print(table(found), f"[dim]{name} took {time.monotonic() - begin:.0f} s[/dim]")
    path = write(rows, incorrect, arguments)
    missed = [row for row in rows if row.verdict == "miss"]
    aimed = sum(bool(row.verdict) for row in rows)
    console.print(f"{aimed - len(missed)} of {aimed} aims met, {len(incorrect)} incorrect; written to {path}")
    for row in missed:
        console.print(
            f"[yellow]missed[/yellow] {row.benchmark}: {row.case}: {shown(row)}, aim {row.aim}", highlight=False
        )
    return 1 if incorrect else 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="interleaved runs of each contender (default: 5)")
    parser.add_argument("--quick", action="store_true", help="shorter runs: to see that all works, not to quote")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in NAMES]:
        parser.error(f"no benchmark {' or '.join(unknown)}; there are {', '.join(NAMES)}")
    if arguments.runs < 1:
        parser.error("--runs is at least 1")
    return arguments


def table(rows: list[Row]) -> Table:
    """The rows for a reader."""
    view = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("benchmark", "case", "ours", "peer", "", "unit", "ratio", "aim", "verdict"):
        view.add_column(heading, justify="right" if heading in {"ours", "", "ratio", "aim"} else "left")
    for row in rows:
        colour = {"pass": "green", "miss": "bold yellow", "": ""}[row.verdict]
        view.add_row(
            row.benchmark,
            row.case,
            figure(row.ours),
            row.peer,
            figure(row.theirs),
            row.unit,
            "" if row.ratio is None else digits(row.ratio),
            str(row.aim or ""),
            f"[{colour}]{row.verdict}[/{colour}]" if colour else "",
        )
    return view


def figure(value: float | None) -> str:
    """A number with as many digits as mean something."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


def digits(ratio: float) -> str:
    """A ratio; near one the third digit behind the point decides."""
    return f"{ratio:.3f}" if ratio < 2 else f"{ratio:.2f}"


def shown(row: Row) -> str:
    """Ours, and the ratio where there is one."""
    return f"{figure(row.ours)} {row.unit}" + ("" if row.ratio is None else f", ratio {digits(row.ratio)}")


def write(rows: list[Row], incorrect: list[str], arguments: argparse.Namespace) -> Path:
    """Everything, with the machine and the method, as JSON."""
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    report: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "method": METHOD,
        "runs": arguments.runs,
        "quick": arguments.quick,
        "incorrect": incorrect,
        "rows": [row.as_json() for row in rows],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def machine() -> dict[str, Any]:
    """What the figures were taken on and with."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "python": sys.version.split()[0],
        "switchcast": switchcast.__version__,
        "rustc": first_line("rustc", "--version"),
        "gcc": first_line("gcc", "--version"),
        **{peer: installed(peer) for peer in PEERS},
    }


def first_line(*command: str) -> str:
    """What a tool says of its version; empty where it is missing."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.partition("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return ""


def installed(package: str) -> str | None:
    """The version of a package that is installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
