"""How often a rule may fire: a rate, a pause before (debounce), and once for a key in an interval.

Each is pure: time comes in as an argument, in seconds of any clock that does not run backwards. Each is bounded, for
keys come from events, and events from anyone.

==============  ======  ===============================================================================
limit           figure  what it answers
==============  ======  ===============================================================================
``KEY_LENGTH``     256  characters of a key that are kept; a longer one becomes its start and a digest
``ONCE_KEYS``   65,536  keys of one rule that have fired; past it the oldest is forgotten
``WAIT_KEYS``    4,096  keys of one rule that wait to be quiet; past it the oldest fires at once
==============  ======  ===============================================================================

Both ways to be full err on the side of firing: forged keys may make a rule fire early or again, which its rate
bounds, but they cannot keep it from firing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final, Generic, TypeVar

__all__ = ["KEY_LENGTH", "ONCE_KEYS", "WAIT_KEYS", "Debounce", "OncePer", "TokenBucket", "short_key"]

KEY_LENGTH: Final = 256
ONCE_KEYS: Final = 65_536
WAIT_KEYS: Final = 4_096

_DIGEST_BYTES: Final = 16
_ROUNDING: Final = 1e-9

Value = TypeVar("Value")


def short_key(key: str) -> str:
    """``key``, or where it is longer than ``KEY_LENGTH`` its beginning and a digest of the whole."""
    if len(key) <= KEY_LENGTH:
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).hexdigest()
    return f"{key[: KEY_LENGTH - 1 - len(digest)]}~{digest}"


class TokenBucket:
    """``burst`` at once, and ``count`` in ``per`` seconds in the long run; ``burst`` is ``count`` by default.

    Kept as the one time at which the bucket is full again, so that it costs a comparison and no refilling.
    """

    __slots__ = ("_each", "_full_at", "_most_ahead")

    def __init__(self, count: int, per: float = 1.0, burst: int | None = None) -> None:
        self._each = per / count
        self._most_ahead = self._each * ((burst or count) - 1) + _ROUNDING * self._each
        self._full_at = float("-inf")

    def free_in(self, now: float) -> float:
        """Seconds until there is a token; 0.0 when there is one."""
        wait = self._full_at - now - self._most_ahead
        return wait if wait > 0 else 0.0

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        full_at = max(now, self._full_at)
        if full_at - now > self._most_ahead:
            return False
        self._full_at = full_at + self._each
        return True


class OncePer:
    """At most one firing for each key in ``interval`` seconds."""

    __slots__ = ("_fired", "_interval", "_keys", "evicted")

    def __init__(self, interval: float, keys: int = ONCE_KEYS) -> None:
        self._interval = interval
        self._keys = keys
        self._fired: OrderedDict[str, float] = OrderedDict()
        self.evicted = 0
        """How many keys were forgotten before their interval was over."""

    def __len__(self) -> int:
        return len(self._fired)

    def fired_at(self, key: str, now: float) -> float | None:
        """When ``key`` fired, if that was less than the interval ago."""
        at = self._fired.get(key)
        return at if at is not None and now - at < self._interval else None

    def mark(self, key: str, now: float) -> None:
        """Note that ``key`` has fired ``now``."""
        fired = self._fired
        while fired and now - next(iter(fired.values())) >= self._interval:
            fired.popitem(last=False)
        fired[key] = now
        fired.move_to_end(key)
        if len(fired) > self._keys:
            fired.popitem(last=False)
            self.evicted += 1


class Debounce(Generic[Value]):
    """Holds the last value of each key until nothing has come for that key for ``quiet`` seconds."""

    __slots__ = ("_keys", "_quiet", "_waiting", "early")

    def __init__(self, quiet: float, keys: int = WAIT_KEYS) -> None:
        self._quiet = quiet
        self._keys = keys
        self._waiting: OrderedDict[str, tuple[float, Value]] = OrderedDict()  # by deadline: each put goes to the end
        self.early = 0
        """How many were let go before they were quiet, for want of room."""

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, key: str) -> bool:
        return key in self._waiting

    def put(self, key: str, value: Value, now: float) -> tuple[str, Value] | None:
        """Hold ``value`` in place of what was held for ``key``; gives back the oldest where there is no more room."""
        waiting = self._waiting
        waiting[key] = (now + self._quiet, value)
        waiting.move_to_end(key)
        if len(waiting) <= self._keys:
            return None
        oldest, (_, held) = waiting.popitem(last=False)
        self.early += 1
        return oldest, held

    def due(self, now: float) -> list[tuple[float, str, Value]]:
        """Those that have been quiet for long enough: when that was, key and value, oldest first."""
        found = []
        while (at := self.next_due()) is not None and at <= now:
            key, (_, value) = self._waiting.popitem(last=False)
            found.append((at, key, value))
        return found

    def next_due(self) -> float | None:
        """When the first of those that wait will have been quiet for long enough."""
        return next(iter(self._waiting.values()))[0] if self._waiting else None
