"""What ``switchcast demo`` shows while it runs, and its last words."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from switchcast._native import Event
from switchcast.app.cli.census import Census
from switchcast.app.cli.facts import short_duration
from switchcast.app.cli.render import EventLines, family_style, printable, sender_style

__all__ = ["DemoView", "Lane"]

_BARS: Final = " ▁▂▃▄▅▆▇█"
_HISTORY: Final = 24
_KINDS: Final = 4
_FIXED_LINES: Final = 16
"""Lines of the screen that are not events: title, plan, table, kinds, headings and the blank lines between."""


@dataclass(slots=True)
class Lane:
    """One switch's way through the demo: events that it fired, that its node sent, and that were heard."""

    name: str
    core_uuid: str
    fired: int = 0
    sent: int = 0
    heard: int = 0
    rate: float = 0.0
    history: deque[float] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    before: int = 0

    @property
    def lost(self) -> int:
        """What was fired and has not arrived; while the demo runs, that is also what is on its way."""
        return self.fired - self.heard

    @property
    def whole(self) -> bool:
        """Everything that the switch fired was sent, and everything that was sent was heard."""
        return self.fired == self.sent == self.heard


class DemoView:
    """The demo's figures as a screen, as a plain line, and as a summary."""

    def __init__(self, url: str, lanes: list[Lane], census: Census) -> None:
        self.latest: deque[Event] = deque(maxlen=60)
        self._url = url
        self._lanes = lanes
        self._census = census
        self._lines = EventLines()
        self._began: float | None = None
        self._measured = 0.0
        self._now = 0.0

    def tick(self, now: float) -> bool:
        """Take the rates once a second; whether that was now. ``now`` is in seconds, from any beginning."""
        self._now = now
        if self._began is None:
            self._began = self._measured = now
        passed = now - self._measured
        if passed < 1.0:
            return False
        self._measured = now
        for lane in self._lanes:
            lane.rate = (lane.heard - lane.before) / passed
            lane.before = lane.heard
            lane.history.append(lane.rate)
        return True

    @property
    def _passed(self) -> float:
        return self._now - (self._began if self._began is not None else self._now)

    def screen(self, width: int, height: int) -> Group:
        """Everything, in at most ``height`` lines."""
        events = max(0, height - _FIXED_LINES)
        return Group(
            self._title(),
            Text("switch → event socket → node → multicast → listener", style="dim"),
            Text(),
            self._table(),
            Text(),
            Text("most heard", style="dim"),
            *self._kinds(width),
            Text("latest", style="dim"),
            *(self._lines.styled(event, width) for event in list(self.latest)[-events:] if events),
            Text("Ctrl-C ends it", style="dim"),
        )

    def line(self) -> str:
        """The figures in one line, for where there is no screen."""
        lanes = "  ".join(f"{lane.name} {lane.heard:,} ({lane.rate:,.0f}/s)" for lane in self._lanes)
        return f"{self._passed:5.0f}s  heard from {lanes}  missing {sum(lane.lost for lane in self._lanes)}"

    def summary(self) -> Group:
        """What was fired, sent and received, and whether they agree."""
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
        table.add_column("switch")
        for name in ("fired", "sent", "received", "lost"):
            table.add_column(name, justify="right")
        table.add_column("")
        total = Lane("total", "")
        for lane in self._lanes:
            total.fired += lane.fired
            total.sent += lane.sent
            total.heard += lane.heard
        for lane in (*self._lanes, total):
            style = "bold" if lane is total else sender_style(lane.name)
            mark = Text("✓", "green") if lane.whole else Text("✗", "bold red")
            cells = [f"{value:,}" for value in (lane.fired, lane.sent, lane.heard, lane.lost)]
            table.add_row(Text(lane.name, style=style), *cells, mark)
        whole = all(lane.whole for lane in self._lanes)
        seconds = max(self._passed, 1.0)
        verdict = (
            Text("everything that was sent was received", "bold green")
            if whole
            else Text("not everything that was sent was received", "bold red")
        )
        kinds = len(self._census.kinds)
        rate = f"{short_duration(round(seconds))}, {total.heard / seconds:,.0f} events/s, {kinds} kinds of event"
        return Group(Text(f"{self._url}: {rate}", style="dim"), table, verdict)

    def _title(self) -> Text:
        return Text.assemble(("switchcast demo", "bold"), f"  {self._url}  ", (short_duration(self._passed), "dim"))

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        table.add_column("switch", no_wrap=True)
        for name, width in (("fired", 8), ("sent", 8), ("heard", 8), ("events/s", 8), ("missing", 8)):
            table.add_column(name, justify="right", min_width=width, no_wrap=True)
        table.add_column("last 24 s", no_wrap=True)
        highest = max((rate for lane in self._lanes for rate in lane.history), default=0.0)
        for lane in self._lanes:
            style = sender_style(lane.name)
            table.add_row(
                Text(lane.name, style=f"bold {style}"),
                f"{lane.fired:,}",
                f"{lane.sent:,}",
                f"{lane.heard:,}",
                f"{lane.rate:,.0f}",
                f"{lane.lost:,}",
                Text(_spark(lane.history, highest), style=style),
            )
        return table

    def _kinds(self, width: int) -> list[Text]:
        """The kinds heard most, each with a bar."""
        rows = sorted(self._census.kinds.items(), key=lambda item: (-item[1].events, item[0]))[:_KINDS]
        longest = rows[0][1].events if rows else 1
        lines = []
        for name, row in rows:
            bar = "━" * max(1, round((width - 36) * row.events / longest))
            lines.append(
                Text.assemble((f"{printable(name):<26.26}", family_style(name)), f"{row.events:>7,}  ", (bar, "dim"))
            )
        return lines + [Text()] * (_KINDS - len(lines))


def _spark(history: deque[float], highest: float) -> str:
    """The rates as little bars."""
    steps = len(_BARS) - 1
    return "".join(_BARS[min(steps, round(rate / highest * steps))] if highest else _BARS[0] for rate in history)
