"""The wire mode of an ``[endpoints]`` table: its keys, the same options in the URL, and the files that they name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from switchcast.app.config.locate import Path
from switchcast.app.config.model import EndpointSettings
from switchcast.app.config.problems import Problems
from switchcast.app.config.secret_files import SecretFiles, fingerprint
from switchcast.endpoints import EndpointUrl
from switchcast.endpoints.modes import KEY_FILES, MODE_OPTIONS, Mode, mistakes
from switchcast.endpoints.udp import STOCK_PORT
from switchcast.keys import GroupKeys, load_group_keys, load_signers, load_signing_key

__all__ = ["CheckedMode", "ModeChecks", "in_each_others_way", "shown_mode"]

WITH_MODE: Final = frozenset({"multicast", "udp"})
"""Schemes of endpoints that have a wire mode."""


@dataclass(frozen=True)
class CheckedMode:
    """``url`` with the mode's options in it, the group's keys, and fingerprints of what else the files hold."""

    url: EndpointUrl
    keys: GroupKeys | None = None
    fingerprints: tuple[str, ...] = ()


@dataclass
class ModeChecks:
    """Looks at the modes of endpoints and at their files; what is wrong goes to ``problems``."""

    problems: Problems
    secret_files: SecretFiles

    def check(self, url: EndpointUrl, path: Path, settings: EndpointSettings) -> CheckedMode:
        """The mode that the table at ``path`` says, with what its ``url`` says."""
        before = self.problems.found()
        table = {option: _text(getattr(settings, option)) for option in MODE_OPTIONS if _is_given(settings, option)}
        if url.scheme not in WITH_MODE:
            for option in table:
                self.problems.add((*path, option), None, f"{url.scheme}: endpoints take no {option}; leave it out")
            return CheckedMode(url)
        within = dict(url.options)
        for option in table:
            if option in within:
                self.problems.add((*path, option), None, f"{option} is given in the URL too; keep it here")
        given = {option: text for option, text in (within | table).items() if option in MODE_OPTIONS}
        places: dict[str, Path] = {
            option: (*path, option if _is_given(settings, option) else "url") for option in within | table
        }
        for option, sentence in mistakes(within | table):
            shown = getattr(settings, option) if _is_given(settings, option) else str(url)
            self.problems.add(places[option], shown, sentence)
        if self.problems.found() > before:
            return CheckedMode(url)
        keys, prints = self._read(given, places)
        rest = tuple((option, text) for option, text in url.options if option not in MODE_OPTIONS)
        mode = Mode.of(replace(url, options=(*rest, *given.items())))
        return CheckedMode(replace(url, options=(*rest, *mode.options().items())), keys, prints)

    def _read(self, given: dict[str, str], places: Mapping[str, Path]) -> tuple[GroupKeys | None, tuple[str, ...]]:
        """What is in the files that are ``given``, whose names become paths."""
        readers: Mapping[str, Callable[..., Any]] = dict(
            zip(KEY_FILES, (load_group_keys, load_signing_key, load_signers), strict=True)
        )
        found: dict[str, Any] = {}
        for option, read in readers.items():
            if given.get(option):
                read_it = partial(read, looking=self.secret_files.outside)
                if (held := self.secret_files.load(given[option], places[option], read_it)) is not None:
                    given[option], found[option] = held
        prints = []
        if (signing := found.get("sign_key_file")) is not None:
            prints.append(fingerprint(signing.seed))
        if signers := found.get("signers_file"):
            prints.append(fingerprint(repr(signers).encode()))
        return found.get("key_file"), tuple(prints)


def in_each_others_way(urls: Mapping[str, EndpointUrl]) -> Iterator[tuple[str, str]]:
    """Names of endpoints at one address and port, the first of which is sealed and the second is not."""
    places = {
        name: (url.scheme, url.port or STOCK_PORT, Mode.of(url).name == "sealed")
        for name, url in urls.items()
        if url.scheme in WITH_MODE
    }
    for (one, its), (other, others) in itertools.permutations(places.items(), 2):
        if its == (*others[:2], True) and not others[2] and not set(urls[one].hosts).isdisjoint(urls[other].hosts):
            yield one, other


def shown_mode(settings: EndpointSettings, url: EndpointUrl) -> dict[str, Any]:
    """The keys of a table that ``settings`` leaves out and that count all the same, with their values."""
    if url.scheme not in WITH_MODE:
        return {}
    mode = Mode.of(url)
    counting: dict[str, Any] = {"mode": mode.name}
    if mode.key_file is not None:
        counting |= {"cipher": mode.cipher, "repair": mode.repair, "keep": mode.keep, "keep_for": mode.keep_for}
    if mode.name == "traced":
        counting["stock"] = mode.stock
    within = dict(EndpointUrl.parse(settings.url).options)
    return {key: value for key, value in counting.items() if not _is_given(settings, key) and key not in within}


def _is_given(settings: EndpointSettings, option: str) -> bool:
    return getattr(settings, option, None) is not None


def _text(value: Any) -> str:
    """``value`` as an option of a URL."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
