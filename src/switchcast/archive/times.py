"""Points in time as people write them, for ``since`` and ``until``."""

from __future__ import annotations

import datetime as dt
import re

from switchcast.quantities import parse_duration

__all__ = ["parse_time"]

_AGO = re.compile(r"-?(\d+(?:\.\d+)?\s*(?:ms|s|m|h|d))")
_DAYS = {"today": 0, "yesterday": 1}
_EARLIEST = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def parse_time(text: str, now: int) -> int:
    """Nanoseconds since 1970 UTC: ``2026-11-23``, ``2026-11-23T14:05``, ``14:05``, ``today``, ``yesterday``, ``now``.

    ``2h`` is two hours ago, and so is ``-2h``. A time is this host's own unless it says otherwise (``Z``, ``+01:00``);
    a day is its beginning, and ``14:05`` is today's. ``now`` is in nanoseconds too. Raises ``ValueError`` with what
    would do.
    """
    text = text.strip()
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return max(now - round(parse_duration(ago[1]) * 1e9), 0)
    moment = _moment(text, now)
    if moment is None:
        raise ValueError("write 2026-11-23, 2026-11-23T14:05:00+01:00, 14:05, today, or 2h for two hours ago")
    try:
        since = moment.astimezone(dt.UTC) - _EARLIEST
    except OverflowError:  # the first and the last day of the calendar
        raise ValueError("it is further away than any event") from None
    whole = (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if whole < 0:
        raise ValueError("it is before 1970")
    return whole


def _moment(text: str, now: int) -> dt.datetime | None:
    if text in _DAYS:
        day = dt.datetime.fromtimestamp(now / 1e9, tz=dt.UTC).astimezone().date() - dt.timedelta(days=_DAYS[text])
        return dt.datetime.combine(day, dt.time())
    try:
        return dt.datetime.fromisoformat(text)
    except ValueError:
        pass
    try:
        time = dt.time.fromisoformat(text)
    except ValueError:
        return None
    today = dt.datetime.fromtimestamp(now / 1e9, tz=dt.UTC).astimezone(time.tzinfo)
    return dt.datetime.combine(today.date(), time)
