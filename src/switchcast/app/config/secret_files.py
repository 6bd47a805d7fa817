"""Where secrets are kept: in files that only their owner may read, or in systemd's credentials.

A value is an absolute path or ``credential:NAME``, which is the file ``NAME`` in ``$CREDENTIALS_DIRECTORY``. A secret
is read here to see that it can be, and for a fingerprint by which a reload notices a new one; it is not kept.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Final

from switchcast.endpoints.url import read_secret_file
from switchcast.errors import EndpointError

__all__ = ["fingerprint", "read_secret", "secret_path"]

CREDENTIAL: Final = "credential:"
_CREDENTIAL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")


def secret_path(text: str, environ: Mapping[str, str]) -> str:
    """The path of the file that ``text`` names. Raises ``ValueError``."""
    name = text.removeprefix(CREDENTIAL)
    if name == text:
        if not text.startswith("/") or "\0" in text:
            raise ValueError("write an absolute path, or credential:NAME for one of systemd's credentials")
        return text
    if not _CREDENTIAL_NAME.fullmatch(name):
        raise ValueError("a credential's name has letters, digits, '.', '_', '@' and '-'")
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError(
            "there are no credentials: $CREDENTIALS_DIRECTORY is not set, as systemd does for a unit with "
            f"LoadCredential={name}:/path"
        )
    return os.path.join(directory, name)


def read_secret(path: str) -> bytes:
    """What the file at ``path`` holds. Raises ``ValueError`` that says what is wrong with the file."""
    try:
        return read_secret_file(path)
    except EndpointError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from None
    except OSError as error:
        raise ValueError(f"{error.strerror}, though it should hold a secret") from None


def fingerprint(secret: bytes) -> str:
    """What tells this secret from another without telling it."""
    return hashlib.blake2b(secret, digest_size=16, person=b"switchcast").hexdigest()
