"""What a value gives away by itself, whatever its header is called.

Each finder is a regular expression over the text with a look at what it found. They are written so that what events are
full of is no alarm: epochs, microseconds, sequence numbers, SSRCs, ports, versions and times of day. A credential that
was found is blanked out before the others look, so that no evidence of theirs can hold a piece of it.

Telephone numbers are the library ``phonenumbers``' to judge (the extra ``audit``), and it is asked only about what
looks like one: with ``+`` and a country code anywhere, in a country's own way of writing only if that country is given.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from switchcast.errors import MissingExtra, UsageError
from switchcast.guard.audit.leaks import Leak

__all__ = [
    "MOST_LOOKED_AT",
    "OWN_USERS",
    "TOKEN",
    "Clue",
    "Numbers",
    "clues_in",
    "says_nothing",
    "without_cards",
    "without_credentials",
]

Clue = tuple[Leak, str]
"""What is given away, and the piece of the value that does."""

MOST_LOOKED_AT: Final = 8_192
"""Characters of a value or a body; the longest datagram could hold eight times as many, and repeats itself by then."""
_MOST_OF_ONE: Final = 16
"""Matches of one finder in one value that are judged; a made-up value could hold thousands."""

_UUID: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
_UUID_DASHES: Final = 4
_SDP: Final = "v=0"
_SAYS_NOTHING: Final = frozenset(
    "_undef_ _none_ unknown anonymous none n/a na null nil undefined unavailable private restricted withheld blocked "
    "default true false yes no freeswitch -".split()
) | {"outbound call", "inbound call", "unknown caller", "unknown name", "private caller", "no name", "not available"}
_ZEROS: Final = re.compile(r"[+0*#\s.:_-]*")

_GIVEN_AS: Final = (
    r"(?:[\w-]*(?:password|passwd|passphrase|secret|a1-hash|api[_-]?key|access[_-]?key|private[_-]?key|auth[_-]?token)"
    r"|(?:[\w-]+[_-])?(?:pwd|pass|pin|psk|token))"
)
_CREDENTIALS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*-----|.*)",
        r"\ba=(?:crypto|ice-pwd|key):[^\r\n]+",
        r"\binline:[A-Z0-9+/=]{16,}",
        r"\b(?:bearer|basic|token)\s+(?=\S*\d)[A-Z0-9._~+/=-]{8,}",
        r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*",
        r"\bdigest\s[^\r\n]{0,400}?(?:nonce|response)\s{0,4}=[^\r\n]*",
        rf"(?<![\w-]){_GIVEN_AS}[\"']?\s*[=:]\s*(?:\"[^\"]+\"|'[^']+'|[^\s,;&}}\]\"']+)",
        r"://[^\s/:@]*:[^\s/@]+@",
        r"[?&](?:sig|key|auth|session|sid|[\w-]*signature)=[^\s&#\"']{8,}",
        r"\bodbc://[^\s:]+:[^\s:]+:\S+",
        r"(?:\A|\bauth\s+)ClueCon\Z",
        r"\b(?:gh[pousr]_|sk_(?:live|test)_|sk-(?=[\w-]*\d)|xox[abp]-|AKIA)[\w-]{10,}",
    )
)
_OPENING: Final = re.compile(
    r"(?<=[^/]/)(?=[\w-]{0,99}\d)(?=[\w-]{0,99}[a-z])(?=[\w-]{0,99}[A-Z])[\w-]{20,}(?![\w./-])"
)
"""The last part of a URL's path, where it is what opens it: with a digit, a small letter and a capital, so that it is
no word and no UUID."""
_HINTS: Final = (
    "pass a= inline: bearer basic token eyj digest secret private a1-hash key pwd pin psk :// cluecon gh sk_ sk- xox "
    "akia"
).split()
"""A look for these instead of a dozen searches: a value without any of them holds no credential known by itself."""

_CARD: Final = re.compile(
    r"(?<![\w.+-])(?:[3-6]\d{3}([ -])\d{4}\1\d{4}\1\d{3,7}|[456]\d{15}|3[47]\d{13})(?![\w.-])", re.ASCII
)
"""Payment cards as they are printed on them, or their 15 or 16 digits; whether it is one its check digit tells."""
_SHORTEST_CARD: Final = 15

_AUDIO: Final = "wav|mp3|ogg|opus|gsm|amr|g722|ul|al|ulaw|alaw|pcma|pcmu|mp4|m4a|webm|mkv|tiff?|h264"
_RECORDING: Final = re.compile(
    rf"(?<![\w/.$@{{}}+%-])(?:[a-z]:)?/?(?:[\w.$@{{}}+%-]++/)++[^\s,;'\"<>|/]*\.(?:{_AUDIO})(?![\w.])", re.IGNORECASE
)
_PROMPTS: Final = re.compile(r"(?:\A|/)(?:sounds|ivr|music|moh)/", re.IGNORECASE)
_FILE: Final = re.compile(r"(?<![\w/:.])/(?:usr|etc|var|opt|srv|home|root|tmp|mnt|run|lib)/[\w./@+-]+")

_HOST: Final = r"(?:\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)+|localhost)"
_ADDRESS: Final = re.compile(rf"(?<![\w.+%-])(sips?:)?([\w.!~*'+%=$&-]+)(?::[^\s@]*)?@({_HOST})", re.IGNORECASE)
_SIP_URI: Final = re.compile(r"(?<!\w)sips?:([\w.!~*'+%=$&-]+)(?:@[\w.-]+)", re.IGNORECASE)
OWN_USERS: Final = re.compile(r"mod_sofia|gw\+.*|freeswitch", re.IGNORECASE)
"""What the switch calls itself in its own contacts."""
TOKEN: Final = re.compile(r"(?=.*\d)[0-9a-f-]{12,}|[0-9a-f]{6,}(?:-[0-9a-f]{4,}){2,}", re.IGNORECASE)
"""The left part of a SIP Call-ID."""
_TEL: Final = re.compile(r"(?<!\w)tel:(\+?[\d().-]{3,})", re.IGNORECASE)
_DIAL: Final = re.compile(
    r"(?<![\w/])(?:sofia/(?:gateway/)?[\w.-]+|loopback|user|verto(?:\.rtc)?|error|group|pickup|skinny/\w+)"
    r"/(\+?[\w.*#+-]+)(@)?",
    re.IGNORECASE,
)
"""Channel names and dial strings: ``sofia/internal/1000@…``, ``loopback/9196-a``, ``user/1000@…``."""
_DISPLAYED: Final = re.compile(
    r"(?:\"([^\"]{1,80})\"|(?:\A|[,:])\s*([^\"<>,:;@]{1,80}?))\s*<(?:sips?|tel):", re.IGNORECASE
)
_TAG: Final = re.compile(r";tag=([\w.~%-]+)", re.IGNORECASE)

_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w)|(?<=_)(?:\d{1,3}\.){3}\d{1,3}(?=_)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9a-f]{0,4}:(?:[0-9a-f]{0,4}:){1,8}[0-9a-f.]{0,15}(?![\w:])", re.IGNORECASE)
_NUMBER: Final = re.compile(r"(?<![\w.,:/+-])(?:\+\s?\d|\(?\d)(?:[\s().-]{0,2}\d|/(?=\d)){5,17}(?![\w:-]|[.,]\d)")
_PLUS_NUMBER: Final = re.compile(r"(?<![\w+])\+\s?\d(?:[\s().-]{0,2}\d){5,16}(?!\d)")
_MOMENT: Final = re.compile(
    r"(?:(?:1\d|20)\d{8}|21[0-4]\d{7})(?:\d{3})?|\d{16,}|\d+\.\d+|(?:19|20)\d\d[-./]?\d\d[-./]?\d\d.*"
)
"""Seconds, milliseconds and microseconds since 1970 until 2038, dates, and decimal fractions."""
_SIGNAL: Final = re.compile(r"^\s*Signal\s*=\s*([0-9A-D*#]+)|\bSignal=([0-9A-D*#]+)", re.IGNORECASE | re.MULTILINE)


def says_nothing(value: str) -> bool:
    """Whether ``value`` stands where nothing is known: empty, ``unknown``, ``0000000000``, ``Outbound Call``."""
    value = value.strip()
    return value.lower() in _SAYS_NOTHING or _ZEROS.fullmatch(value) is not None


class Numbers:
    """Finds telephone numbers; ``region`` (ISO 3166, two letters) says whose way of writing them counts too.

    Raises ``MissingExtra`` without the library, ``UsageError`` for a region that it does not know.
    """

    def __init__(self, region: str | None = None) -> None:
        try:
            import phonenumbers
        except ImportError:
            raise MissingExtra("audit", "switchcast audit") from None
        self._library: Any = phonenumbers
        self._region = region.upper() if region is not None else None
        if self._region is not None and self._region not in phonenumbers.SUPPORTED_REGIONS:
            raise UsageError(f'no region "{region}" for telephone numbers; write two letters, as in --region DE')
        self._valid = lru_cache(maxsize=4096)(self._is_valid)

    def of(self, text: str) -> Iterator[str]:
        """Each number in ``text``."""
        if self._region is None and "+" not in text:
            return
        pattern = _PLUS_NUMBER if self._region is None else _EITHER_NUMBER
        for match in _some(pattern, text):
            found = match[0]
            if (found.startswith("+") or _MOMENT.fullmatch(found) is None) and self._valid(found):
                yield found

    def _is_valid(self, text: str) -> bool:
        """Asking the library takes about 40 us."""
        try:
            number = self._library.parse(text, self._region)
        except self._library.NumberParseException:
            return False
        return bool(self._library.is_valid_number(number))


_EITHER_NUMBER: Final = re.compile(f"{_PLUS_NUMBER.pattern}|{_NUMBER.pattern}")


def without_credentials(text: str) -> tuple[str, str | None]:
    """``text`` with every credential in it blanked out, and the first of them."""
    first: str | None = None
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text, None
    for pattern in (*_CREDENTIALS, _OPENING) if "://" in text else _CREDENTIALS:
        match = pattern.search(text)
        if match is not None:
            first = first or match[0]
            text = pattern.sub("\n", text)
    return text, first


def without_cards(text: str) -> tuple[str, str | None]:
    """``text`` with the numbers of payment cards in it blanked out, and the first of them."""
    if len(text) < _SHORTEST_CARD:
        return text, None
    cards = [match[0] for match in _some(_CARD, text) if _has_check_digit(match[0])]
    for card in cards:
        text = text.replace(card, "\n")
    return text, cards[0] if cards else None


def _has_check_digit(number: str) -> bool:
    """Luhn's: every other digit doubled, from the last but one on, all digits of that add up to tens (ISO 7812)."""
    digits = [int(digit) for digit in reversed(number) if digit.isdigit()]
    return sum(sum(divmod(digit * (1 + place % 2), 10)) for place, digit in enumerate(digits)) % 10 == 0


def clues_in(text: str, numbers: Numbers, *, measure: bool = False) -> Iterator[Clue]:
    """What ``text``, from which credentials were taken out, gives away; the same class possibly more than once.

    ``measure`` says that the header's digits are known to be a time, a port or a count.
    """
    if text.count("-") >= _UUID_DASHES:
        uuid = _UUID.search(text)
        if uuid is not None:
            yield Leak.CALL, uuid[0]
            text = _UUID.sub(" ", text)
    for mark, find in _FINDERS:
        if mark in text:
            yield from find(text)
    if not measure and not text.startswith(_SDP):
        for number in numbers.of(_IPV4.sub(" ", text) if "." in text else text):
            yield Leak.NUMBERS, number


def _some(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for _, match in zip(range(_MOST_OF_ONE), pattern.finditer(text), strict=False):
        yield match


def _files(text: str) -> Iterator[Clue]:
    for match in _some(_RECORDING, text):
        if "://" not in text[: match.start()][-12:]:
            yield (Leak.TOPOLOGY if _PROMPTS.search(match[0]) else Leak.CONTENT), match[0]
    for match in _some(_FILE, text):
        yield Leak.TOPOLOGY, match[0]


def _addresses(text: str) -> Iterator[Clue]:
    for match in _some(_ADDRESS, text):
        scheme, user, _ = match.groups()
        if OWN_USERS.fullmatch(user):
            yield Leak.TOPOLOGY, match[0]
        elif not scheme and TOKEN.fullmatch(user):
            yield Leak.CALL, user
        else:
            yield Leak.SIP, match[0]
    for match in _some(_SIP_URI, text):
        if not OWN_USERS.fullmatch(match[1]):
            yield Leak.SIP, match[0]


def _people(text: str) -> Iterator[Clue]:
    for match in _some(_DISPLAYED, text):
        name = (match[1] or match[2] or "").strip()
        if not says_nothing(name):
            yield (Leak.NAMES if any(letter.isalpha() for letter in name) else Leak.NUMBERS), name


def _tels(text: str) -> Iterator[Clue]:
    for match in _some(_TEL, text):
        yield Leak.NUMBERS, match[1]


def _dialled(text: str) -> Iterator[Clue]:
    for match in _some(_DIAL, text):
        party = match[1]
        if match[2]:
            if not OWN_USERS.fullmatch(party):
                yield Leak.SIP, f"{party}@"
        elif party[0] in "+0123456789*#":
            yield Leak.NUMBERS, party.partition("-")[0]


def _tags(text: str) -> Iterator[Clue]:
    for match in _some(_TAG, text):
        yield Leak.CALL, match[1]


def _signals(text: str) -> Iterator[Clue]:
    for match in _some(_SIGNAL, text):
        yield Leak.DTMF, match[1] or match[2]


def _ipv4(text: str) -> Iterator[Clue]:
    for match in _some(_IPV4, text):
        yield from _of_address(match[0])


def _ipv6(text: str) -> Iterator[Clue]:
    for match in _some(_IPV6, text):
        yield from _of_address(match[0].rstrip("."))


def _of_address(text: str) -> Iterator[Clue]:
    leak = _leak_of_address(text)
    if leak is not None:
        yield leak, text


@lru_cache(maxsize=4096)
def _leak_of_address(text: str) -> Leak | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.is_unspecified or text.startswith("255."):
        return None
    if address.version == 6 and address.is_reserved and not (address.is_loopback or address.ipv4_mapped):
        return None  # Nobody has such an address: it is ``a::b``, a name.
    return Leak.OUTSIDE if address.is_global and not address.is_multicast else Leak.INSIDE


_FINDERS: Final[tuple[tuple[str, Callable[[str], Iterator[Clue]]], ...]] = (
    ("/", _files),
    ("@", _addresses),
    ("<", _people),
    ("tel:", _tels),
    ("/", _dialled),
    (";tag=", _tags),
    ("Signal", _signals),
    (".", _ipv4),
    (":", _ipv6),
)
"""Each finder, and what must stand in a text for it to be worth a look."""
