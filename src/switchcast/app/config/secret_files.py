"""Where secrets are kept: in files that only their owner may read, or in systemd's credentials.

A value is an absolute path or ``credential:NAME``, which is the file ``NAME`` in ``$CREDENTIALS_DIRECTORY``. A secret
is read here to see that it can be, and for a fingerprint by which a reload notices a new one; it is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from switchcast.app.config.locate import Path
from switchcast.app.config.problems import Problems
from switchcast.errors import EndpointError
from switchcast.private_files import NoCredentials, credential_path, read_secret

__all__ = ["SecretFiles", "fingerprint", "secret_path"]


@dataclass
class SecretFiles:
    """Looks at the secret files that a configuration names; what is wrong with one goes to ``problems``.

    ``outside``: it is not the service that looks, and only the service has its credentials.
    """

    problems: Problems
    environ: Mapping[str, str]
    outside: bool = False

    def look(self, text: str, path: Path) -> tuple[str, bytes] | None:
        """The file that ``text`` at ``path`` names, and what it holds; ``None`` when that cannot be had."""
        try:
            file = secret_path(text, self.environ)
            return file, _read(file)
        except NoCredentials as error:
            if self.outside:
                self.problems.warn(path, f"{text} cannot be looked at here: only the service has its credentials")
            else:
                self.problems.add(path, text, str(error))
        except ValueError as error:
            self.problems.add(path, text, str(error))
        return None


def secret_path(text: str, environ: Mapping[str, str]) -> str:
    """The path of the file that ``text`` names. Raises ``ValueError``."""
    credential = credential_path(text, environ)
    if credential is not None:
        return credential
    if not text.startswith("/") or "\0" in text:
        raise ValueError("write an absolute path, or credential:NAME for one of systemd's credentials")
    return text


def _read(path: str) -> bytes:
    """What the file at ``path`` holds. Raises ``ValueError`` that says what is wrong with the file."""
    try:
        return read_secret(path)
    except EndpointError as error:
        raise ValueError(str(error).removeprefix(f"{path}: ")) from None
    except OSError as error:
        raise ValueError(f"{error.strerror}, though it should hold a secret") from None


def fingerprint(secret: bytes) -> str:
    """What tells this secret from another without telling it."""
    return hashlib.blake2b(secret, digest_size=16, person=b"switchcast").hexdigest()
