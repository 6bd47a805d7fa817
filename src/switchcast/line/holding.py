"""One endpoint in the hands of those who use it: a source, a sink, or both. The last one to let go closes it."""

from __future__ import annotations

from collections.abc import Hashable

from switchcast.endpoints import Endpoint
from switchcast.keys import GroupKeys

__all__ = ["Holding"]


class Holding:
    """``endpoint`` and how many hold it; ``key`` tells which one it is (``Plan.key``), ``keys`` are its group's."""

    def __init__(self, key: Hashable, endpoint: Endpoint) -> None:
        self.key = key
        self.endpoint = endpoint
        self.keys: GroupKeys | None = None
        self._holders = 0

    @property
    def shared(self) -> bool:
        """Whether more than one holds it, so that it cannot be closed to end one of them."""
        return self._holders > 1

    def rekey(self, keys: GroupKeys | None) -> bool:
        """Have the endpoint go on with ``keys``, if it has not got them yet; whether it had not."""
        if keys is None or keys == self.keys:
            return False
        self.endpoint.rekey(keys)
        self.keys = keys
        return True

    def hold(self) -> Hold:
        """Hold it until the hold is let go."""
        self._holders += 1
        return Hold(self)

    async def _let_go(self) -> None:
        self._holders -= 1
        if self._holders == 0:
            await self.endpoint.close()


class Hold:
    """The right of one source or sink to its endpoint."""

    def __init__(self, holding: Holding) -> None:
        self.holding = holding
        self._held = True

    async def let_go(self) -> None:
        """Give it up; the endpoint is closed if this was the last. Idempotent. Raises what closing does."""
        if self._held:
            self._held = False
            await self.holding._let_go()
