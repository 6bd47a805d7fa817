"""``switchcast archive``: what an archive holds, whether it is whole, and its repair."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Annotated

import typer

from switchcast.app.cli.archives import open_archive
from switchcast.app.cli.asking import output_console, show, to_a_reader
from switchcast.app.cli.helping import Command
from switchcast.app.cli.render import how_many, printable
from switchcast.app.cli.sections import Cell, Entry, section
from switchcast.archive.reading import SegmentStats, Stats
from switchcast.archive.recovery import Checked
from switchcast.archive.recovery import check as check_archive
from switchcast.archive.recovery import repair as repair_archive
from switchcast.errors import EndpointUnavailable
from switchcast.wire.gap_record import Gap

__all__ = ["app"]

app = typer.Typer(
    name="archive",
    help="Look after archives, and repair torn ones.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Directory = Annotated[str, typer.Argument(metavar="DIR", help="The archive's directory, or archive:DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON.")]
DAMAGED = 1


@app.command(cls=Command)
def stats(directory: Directory, *, as_json: AsJson = False) -> None:
    """Tell what an archive holds.

    Its segments, with their events, times and bytes.

    switchcast archive stats /var/lib/switchcast/history
    """
    found = open_archive(directory).stats()
    if not found.segments:
        raise EndpointUnavailable(f"{directory}: holds no events yet")
    with to_a_reader():
        if as_json:
            print(json.dumps(_as_dict(found)))
            return
        console = output_console()
        for each in section("segments", [_entry(segment) for segment in found.segments], console.width):
            show(console, each)
        if found.events:
            print(
                f"\n{how_many(found.events)} in {_size(found.file_bytes)}: "
                f"{_per_event(found.file_bytes, found.events)} an event, "
                f"{_share(found.file_bytes, found.raw_bytes)} of their text ({_size(found.raw_bytes)})"
            )
        if any(segment.damaged for segment in found.segments):
            print(f"Next: switchcast archive check {printable(directory)}")


@app.command(cls=Command)
def check(directory: Directory, *, as_json: AsJson = False) -> None:
    """Read everything in an archive, and tell what is damaged.

    The exit code is 1 if something is. It changes nothing, and may run while the archive is written.

    switchcast archive check /var/lib/switchcast/history
    """
    segments = damaged = 0
    reader = open_archive(directory)
    with to_a_reader():
        for checked in check_archive(reader.directory):
            segments += 1
            damaged += bool(checked.faults)
            if as_json:
                print(json.dumps(dataclasses.asdict(checked)), flush=True)
            else:
                _tell(checked)
        if not segments and not as_json:
            print(f"{printable(directory)}: holds no events yet")
        if damaged and not as_json:
            print(f"Next: stop what writes to it, then: switchcast archive repair {printable(directory)}")
    if damaged:
        raise typer.Exit(DAMAGED)


@app.command(cls=Command)
def repair(directory: Directory) -> None:
    """Save what is whole in damaged segments.

    A gap record says what is missing. Each damaged file is kept beside its new one. Nothing
    may write to the archive meanwhile.

    switchcast archive repair /var/lib/switchcast/history
    """
    done = 0
    reader = open_archive(directory)
    with to_a_reader():
        for repaired in repair_archive(reader.directory, lambda events: Gap("archive", "damaged", events).event()):
            done += 1
            missing = f", {how_many(repaired.missing)} missing" if repaired.missing else ", none known to be missing"
            print(f"{repaired.name}: {how_many(repaired.events)} saved{missing}")
            print(f"  the damaged file is kept as {printable(str(repaired.kept))}", flush=True)
        if not done:
            print("nothing is damaged")


def _tell(checked: Checked) -> None:
    if not checked.faults:
        print(f"{checked.name}: sound, {how_many(checked.events)} in {checked.blocks:,} blocks", flush=True)
        return
    print(f"{checked.name}: damaged")
    for fault in checked.faults:
        print(f"  {printable(fault)}", flush=True)


def _entry(segment: SegmentStats) -> Entry:
    begin, end = _moment(segment.begin), _moment(segment.end)
    cells = (
        Cell("events", f"{segment.events:,}"),
        Cell("from", begin),
        Cell("to", end[11:] if end[:10] == begin[:10] else end),
        Cell("on disk", _size(segment.file_bytes)),
        Cell("of text", _share(segment.file_bytes, segment.raw_bytes)),
        Cell("", "damaged" if segment.damaged else "", "bold red"),
    )
    return Entry(segment.name, cells=cells)


def _as_dict(found: Stats) -> dict[str, object]:
    totals = {name: getattr(found, name) for name in ("events", "raw_bytes", "file_bytes", "begin", "end")}
    return {"directory": found.directory, **totals, "segments": [dataclasses.asdict(each) for each in found.segments]}


def _moment(time_ns: int | None) -> str:
    """Local time, to the minute."""
    if time_ns is None:
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(time_ns // 10**9))
    except (OverflowError, OSError, ValueError):
        return "?"


def _size(count: int) -> str:
    """``812 B``, ``9.4 MB``."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _per_event(file_bytes: int, events: int) -> str:
    return f"{file_bytes / events:.0f} B" if events else ""


def _share(file_bytes: int, raw_bytes: int) -> str:
    return f"{file_bytes / raw_bytes:.1%}" if raw_bytes else ""
