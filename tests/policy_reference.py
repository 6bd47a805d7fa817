"""A policy by hand, slowly, from its settings alone: what the native one is compared with."""

from __future__ import annotations

import hashlib
import hmac
import re

from switchcast import Event
from switchcast.guard.policy import PolicySettings

ESSENTIAL = """event-name event-subclass core-uuid event-sequence event-date-timestamp freeswitch-hostname
    freeswitch-switchname multicast-sender switchcast-origin switchcast-hops""".split()


def lower(text: str) -> str:
    """ASCII letters in lower case, and no others."""
    return text.encode("utf-8", "surrogateescape").lower().decode("utf-8", "surrogateescape")


def fits(pattern: str, name: str) -> bool:
    parts = {"*": ".*", "?": "."}
    expression = "".join(parts.get(letter) or re.escape(letter) for letter in lower(pattern))
    return re.fullmatch(expression, lower(name), re.DOTALL) is not None


def names_event(texts: tuple[str, ...], event: Event) -> bool:
    """Whether ``texts``, written as bindings are, name the event."""
    for text in texts:
        before, custom, after = text.replace(",", " ").partition("CUSTOM")
        if any(fits("*" if word == "all" else word, event.name) for word in before.split()):
            return True
        if custom and event.name.upper() == "CUSTOM" and any(fits(w, event.subclass or "") for w in after.split()):
            return True
    return False


def treated(action: str, value: str, key: bytes) -> str:
    """What becomes of one value."""
    if value.startswith("ARRAY::"):
        return "ARRAY::" + "|:".join(treated(action, element, key) for element in value[7:].split("|:"))
    first, last = re.search(r"first (\d+)", action), re.search(r"last (\d+)", action)
    number = re.search(r"\d+", action)
    if not value:
        return value
    if action.startswith("mask"):
        head, tail = int(first[1]) if first else 0, int(last[1]) if last else 0
        if head + tail >= len(value):
            head = tail = 0
        return value[:head] + "*" * (len(value) - head - tail) + value[len(value) - tail :]
    if action.startswith("hash"):
        digest = hmac.new(key, value.encode("utf-8", "surrogateescape"), hashlib.sha256)
        return digest.hexdigest()[: int(number[0]) if number else 16]
    assert action.startswith("truncate")
    assert number
    return value[: int(number[0])]


def apply(settings: PolicySettings, event: Event, key: bytes) -> tuple[list[tuple[str, str]], bytes] | None:
    """The headers that pass, decoded, and the body; ``None`` when the event does not pass."""
    if names_event(settings.deny_events, event):
        return None
    rule = next((when for when in settings.when if names_event(when.events, event)), None)
    if rule is None and not names_event(settings.events, event):
        return None
    headers, denied, values, body = settings.headers, settings.deny_headers, settings.values, settings.body
    if rule is not None:
        headers = headers if rule.headers is None else rule.headers
        denied = denied if rule.deny_headers is None else rule.deny_headers
        values = values if rule.values is None else rule.values
        body = body if rule.body is None else rule.body
    passed: list[tuple[str, str]] = []
    seen: set[str] = set()
    for name, value in event.items():
        if lower(name) in ESSENTIAL and lower(name) not in seen:
            seen.add(lower(name))
            passed.append((name, value))
        elif any(fits(p, name) for p in headers) and not any(fits(p, name) for p in denied):
            action = next((action for pattern, action in values.items() if fits(pattern, name)), "pass")
            if action == "pass":
                passed.append((name, value))
            elif action != "drop":
                passed.append((name, treated(action, value, key)))
    return passed, event.body if body else b""
