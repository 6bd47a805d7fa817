"""Files of keys for tests, and what must never be seen of them."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from pathlib import Path

from switchcast.keys import GroupKey, KeyFile, SigningKey

MADE = dt.date(2026, 11, 23)


def secret(number: int) -> bytes:
    """A key of 32 bytes that is not seen in anything else."""
    return hashlib.sha256(f"a test's key {number}".encode()).digest()


def forms(key: bytes) -> tuple[str, ...]:
    """How ``key`` could show, in part too: in base64, in hexadecimal, as Python writes bytes and lists of them."""
    text = base64.b64encode(key).decode()
    return text[:20], text[-20:], key.hex()[:20], repr(key)[2:20], repr(list(key))[1:30]


def assert_hidden(shown: str, *keys: bytes) -> None:
    """Fail if one of ``keys`` is in what is ``shown``."""
    seen = [form for key in keys for form in forms(key) if form in shown]
    assert seen == [], shown


def group(keys: int = 1, *, first: int = 0) -> KeyFile:
    """A file of so many keys, of which the first is sent with."""
    rest = (GroupKey(secret(number), "receive", MADE) for number in range(first + 1, first + keys))
    return KeyFile((*KeyFile.new(secret(first), MADE).lines, *rest))


def written(path: Path, content: KeyFile | SigningKey | str | bytes, mode: int = 0o600) -> Path:
    """``content`` as a file of this mode."""
    text = content.text() if isinstance(content, KeyFile | SigningKey) else content
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path
