"""Where secrets are kept: in files that only their owner may read, or in systemd's credentials.

A value is an absolute path or ``credential:NAME``, which is the file ``NAME`` in ``$CREDENTIALS_DIRECTORY``. A secret
is read here to see that it can be, and for a fingerprint by which a reload notices a new one; it is not kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from switchcast.app.config.locate import Path
from switchcast.app.config.problems import Problems
from switchcast.errors import EndpointError, KeyFileError
from switchcast.private_files import CREDENTIAL, NoCredentials, credential_path, read_secret

__all__ = ["SecretFiles", "fingerprint", "secret_path"]

Read = TypeVar("Read")


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
        return self.load(text, path, read_secret)

    def load(self, text: str, path: Path, read: Callable[[str], Read]) -> tuple[str, Read] | None:
        """The same with what ``read`` makes of the file."""
        file = text
        shown = None if path[-1] == "url" and not text.startswith(("/", CREDENTIAL)) else text  # it may be the secret
        try:
            file = secret_path(text, self.environ)
            return file, read(file)
        except NoCredentials as error:
            if self.outside:
                self.problems.warn(path, f"{text} cannot be looked at here: only the service has its credentials")
            else:
                self.problems.add(path, text, str(error))
        except KeyFileError as error:
            self.problems.add(path, None, str(error))  # which begins with the file, and mostly a line of it
        except EndpointError as error:
            self.problems.add(path, shown, str(error).removeprefix(f"{file}: "))
        except ValueError as error:
            self.problems.add(path, shown, str(error))
        return None


def secret_path(text: str, environ: Mapping[str, str]) -> str:
    """The path of the file that ``text`` names. Raises ``ValueError``."""
    credential = credential_path(text, environ)
    if credential is not None:
        return credential
    if not text.startswith("/") or "\0" in text:
        raise ValueError("write an absolute path, or credential:NAME for one of systemd's credentials")
    return text


def fingerprint(secret: bytes) -> str:
    """What tells this secret from another without telling it."""
    return hashlib.blake2b(secret, digest_size=16, person=b"switchcast").hexdigest()
