"""The ``[endpoints]`` tables, checked as far as can be without opening one: URLs, options, secrets, roles."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from switchcast._native import StockFrames
from switchcast.app.config.configuration import ConfiguredEndpoint
from switchcast.app.config.locate import Path
from switchcast.app.config.mode_checks import ModeChecks, in_each_others_way
from switchcast.app.config.model import EndpointSettings
from switchcast.app.config.problems import Problems
from switchcast.app.config.secret_files import SecretFiles, fingerprint
from switchcast.endpoints import Endpoint, EndpointUrl, Role, make_endpoint
from switchcast.endpoints.url import SECRET_OPTIONS, mask_text
from switchcast.errors import KeyTextError, SwitchcastError

__all__ = ["EndpointChecks"]

SECRET_FILES: Final = ("password_file", "psk_file")
HeldSecrets = Mapping[str, Mapping[str, str]]
"""Secrets that are in no file: endpoint, then option (``psk``), then the secret."""


@dataclass
class EndpointChecks:
    """Endpoints by name, of which each was looked at once. ``made`` holds those that can be, as no role yet."""

    problems: Problems
    secret_files: SecretFiles
    configured: dict[str, ConfiguredEndpoint] = field(default_factory=dict)
    made: dict[str, Endpoint] = field(default_factory=dict)

    def check(self, tables: Mapping[str, EndpointSettings], held: HeldSecrets) -> None:
        """Look at all of ``tables``; mistakes go to ``problems``."""
        for name, settings in tables.items():
            self._check(name, settings, held.get(name, {}))
        for sealed, other in in_each_others_way({name: each.url for name, each in self.configured.items()}):
            self.problems.warn(
                ("endpoints", sealed),
                f"{other} is at the same address and port, and not sealed: each rejects what is meant for the other; "
                "give one of them another port",
            )

    def check_role(self, name: str, role: Role, path: Path) -> None:
        """Note where the endpoint ``name``, which ``path`` names as a source or a sink, cannot be one."""
        endpoint = self.made.get(name)
        if endpoint is None:
            return  # what is wrong with it has been told
        scheme = endpoint.url.scheme
        if role == "source" and not endpoint.is_source:
            self.problems.add(path, name, f"{scheme}: can be sent to but not listened to; name another endpoint")
        elif role == "sink" and not endpoint.is_sink:
            self.problems.add(path, name, f"{scheme}: can be listened to but not sent to; name another endpoint")
        else:
            self._make(name, endpoint.url, role)

    def _check(self, name: str, settings: EndpointSettings, held: Mapping[str, str]) -> None:
        before = self.problems.found()
        path: Path = ("endpoints", name)
        try:
            url = EndpointUrl.parse(settings.url)
        except SwitchcastError as error:
            self.problems.add((*path, "url"), None, str(error))
            return
        self._refuse_secrets(name, url)
        url, prints = self._with_secret_files(url, path, settings)
        url = replace(url, options=(*url.options, *held.items()))
        prints += [fingerprint(secret.encode()) for secret in held.values()]
        mode = ModeChecks(self.problems, self.secret_files).check(url, path, settings)
        if self.problems.found() == before and (endpoint := self._make(name, mode.url)) is not None:
            self._check_hosts(name, endpoint)
        if self.problems.found() == before:
            fingerprints = (*prints, *mode.fingerprints)
            self.configured[name] = ConfiguredEndpoint(
                name, mode.url, settings.queue, settings.overflow, fingerprints, mode.keys
            )

    def _refuse_secrets(self, name: str, url: EndpointUrl) -> None:
        path = ("endpoints", name, "url")
        named = {option for option, _ in url.options if option in SECRET_OPTIONS}
        if url.password is not None:
            named.add("password")
        for option in sorted(named):
            self.problems.add(
                path,
                str(url),
                f"a configuration holds no secrets; put it in a file and write "
                f'{option}_file = "/etc/switchcast/{name}.{option}"',
            )

    def _with_secret_files(
        self, url: EndpointUrl, path: Path, settings: EndpointSettings
    ) -> tuple[EndpointUrl, list[str]]:
        """``url`` with an option for each file that holds a secret, and the secrets' fingerprints."""
        options = [(option, value) for option, value in url.options if option not in SECRET_FILES]
        prints = []
        for key in SECRET_FILES:
            own, in_url = getattr(settings, key), url.text(key)
            if own is not None and in_url is not None:
                self.problems.add((*path, key), own, f"{key} is given in the URL too; keep it here")
            text, place = (in_url, (*path, "url")) if own is None else (own, (*path, key))
            found = None if text is None else self.secret_files.look(text, place)
            if found is not None:
                file, secret = found
                options.append((key, file))
                prints.append(fingerprint(secret))
                if key == "psk_file":
                    self._check_key(secret, place, text)
        return replace(url, options=tuple(options)), prints

    def _check_key(self, secret: bytes, path: Path, text: str | None) -> None:
        try:
            StockFrames(secret)
        except KeyTextError:
            self.problems.add(path, text, "the key in it is too long; the module's has 1 to 72 bytes")

    def _make(self, name: str, url: EndpointUrl, role: Role | None = None) -> Endpoint | None:
        """The endpoint, never opened; ``None`` when there is something wrong with its URL, which is noted."""
        try:
            endpoint = make_endpoint(url, role=role)
        except SwitchcastError as error:
            message = str(error).removeprefix(f"{url}: ")
            key = next((key for key in SECRET_FILES if f"option {key!r}" in message), None)
            if key is not None and url.text(key) is not None:
                mend = f"{url.scheme}: endpoints take no {key}; leave it out"
                self.problems.add(("endpoints", name, key), None, mend)
            else:
                # A misspelt psk= is an unknown option, whose value str() would not know to mask.
                shown = mask_text(str(url)) if "unknown option" in message else str(url)
                self.problems.add(("endpoints", name, "url"), shown, message)
            return None
        self.made[name] = endpoint
        return endpoint

    def _check_hosts(self, name: str, endpoint: Endpoint) -> None:
        """A group where an address is meant, or the other way round; names are looked up only when it is opened."""
        url, path = endpoint.url, ("endpoints", name, "url")
        addresses = list(_addresses(url.hosts))
        if url.scheme == "udp" and any(address.is_multicast for address in addresses):
            self.problems.add(path, str(url), "this is a multicast group; write multicast:// instead of udp://")
        none_is_a_group = not any(address.is_multicast for address in addresses)
        if url.scheme == "multicast" and len(addresses) == len(url.hosts) and none_is_a_group:
            self.problems.add(
                path,
                str(url),
                "this is no multicast group (224.0.0.0/4 or ff00::/8); for a unicast address write udp:// instead",
            )


def _addresses(hosts: Iterable[str]) -> Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    for host in hosts:
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_address(host)
