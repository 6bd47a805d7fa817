"""Whether a process's OpenSSL has its legacy provider, which a pre-shared key of the module needs.

The surest sign is the provider itself in the process's memory (``legacy.so``). Where that may not be seen, OpenSSL's
configuration tells: the section that ``openssl_conf`` names, its ``providers``, and there ``legacy`` with ``activate``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from switchcast.app.config.load import read_text
from switchcast.errors import ConfigurationError
from switchcast.system.processes import Process

__all__ = ["legacy_by_settings", "openssl_of"]

_LIBRARY: Final = re.compile(r"/libcrypto\.so\.(\d+(?:\.\d+)*)")
_PLACES: Final = ("etc/ssl/openssl.cnf", "etc/pki/tls/openssl.cnf", "usr/local/ssl/openssl.cnf")
_YES: Final = frozenset({"1", "yes", "true", "on", "y", "t"})


def openssl_of(process: Process) -> tuple[str | None, bool | None, str]:
    """The version of the process's OpenSSL, whether it has the legacy provider, and how that is known.

    The version is empty for a process without OpenSSL and ``None`` where its memory may not be seen.
    """
    if process.mapped is None:
        return None, None, ""
    versions = [found[1] for path in process.mapped if (found := _LIBRARY.search(path))]
    if not versions:
        return "", None, ""
    version = versions[0].partition(".")[0] if versions[0].startswith("3") else versions[0]
    if version != "3":
        return version, None, ""
    if any(path.endswith("/legacy.so") for path in process.mapped):
        return version, True, "legacy.so is in its memory"
    legacy, known = legacy_by_settings(process.root, process.variable("OPENSSL_CONF"))
    if legacy:  # it is read when the first cipher is asked for, which may be still to come
        return version, True, known
    return version, False, f"legacy.so is not in its memory{', and ' + known if known else ''}"


def legacy_by_settings(root: Path = Path("/"), named: str | None = None) -> tuple[bool | None, str]:
    """Whether OpenSSL's configuration, the one ``named`` or else the usual, loads the legacy provider, and how known.

    ``None``: there is none that can be read, or it includes others.
    """
    places = [named.lstrip("/")] if named else list(_PLACES)
    for place in places:
        path = root / place
        try:
            sections = dict(_sections(read_text(path)))
        except ConfigurationError:
            continue
        plain = sections.get("", {})
        providers = sections.get(sections.get(plain.get("openssl_conf", ""), {}).get("providers", ""), {})
        legacy = sections.get(providers.get("legacy", ""), {})
        if legacy.get("activate", "").lower() in _YES:
            return True, f"{path} activates it"
        if ".include" in plain:
            return None, ""
        return False, f"{path} does not activate it"
    return None, ""


def _sections(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """``[ name ]``, then ``key = value``; ``#`` begins a comment. What stands in front of all has no name."""
    name, pairs = "", dict[str, str]()
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            yield name, pairs
            name, pairs = line[1:-1].strip(), {}
        elif line.startswith(".include"):
            pairs[".include"] = line
        elif "=" in line:
            key, _, value = line.partition("=")
            pairs[key.strip()] = value.strip()
    yield name, pairs
