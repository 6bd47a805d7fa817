"""What can be set about an archive."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from switchcast.settings import Duration, Settings, Size

__all__ = ["ArchiveSettings"]

_SMALLEST: Final = 1 << 20


class ArchiveSettings(Settings):
    """How long an archive goes back, and how large it grows."""

    keep: Duration = 30 * 86_400.0
    """Events older than this are removed, a whole segment at a time."""
    size: Annotated[Size, Field(ge=_SMALLEST)] = 10 << 30
    """Bytes that all segments together may take; the oldest is removed first, the one that is written never."""
    segment: Annotated[Size, Field(ge=_SMALLEST)] = 512 << 20
    """Bytes after which a new segment is begun, though the day is the same; never more than a quarter of ``size``."""
    level: Annotated[int, Field(ge=1, le=19)] = 3
    """zstd's level. 6 makes a fifth less of events than 3 does, at a seventh of its speed."""

    @property
    def segment_bytes(self) -> int:
        """Bytes after which a new segment is begun."""
        return max(min(self.segment, self.size // 4), _SMALLEST // 4)
